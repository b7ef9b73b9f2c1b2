// SPDX-License-Identifier: MIT
#include <muster/exception_group.hpp>

#include <muster/error.hpp>
#include <muster/report.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace {

using muster::as_group;
using muster::base_exception_group;
using muster::cancelled_error;
using muster::exception_group;
using muster::get_if;
using muster::group_dispatch;
using muster::handle_group;
using muster::make_exception_group;
using muster::on;
using muster::on_if;

// Errors that are std::exceptions, with the is-a relations of the published scenarios, and one that is none.
struct error : std::exception {
    explicit error(std::string text = "") : text_(std::move(text)) {}
    [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

private:
    std::string text_;
};
struct value_error : error {
    using error::error;
};
struct type_error : error {
    using error::error;
};
struct run_error : error {
    using error::error;
};
struct lookup_error : error {
    using error::error;
};
struct key_error : lookup_error {
    using lookup_error::lookup_error;
};
struct os_error : error {
    using error::error;
};
struct connection_error : os_error {
    using os_error::os_error;
};
struct late_error : os_error {
    using os_error::os_error;
};
struct bare {
    std::string text;
};

template <class E>
std::exception_ptr one(std::string text) {
    return std::make_exception_ptr(E(std::move(text)));
}
std::exception_ptr group(std::string message, std::vector<std::exception_ptr> exceptions) {
    return make_exception_group(std::move(message), std::move(exceptions));
}

/// Writes an exception as the scenarios' traces do: eg('message', [value_error('1')]).
std::string show(const std::exception_ptr& e) {
    if (!e)
        return "none";
    if (const auto* g = as_group(e)) {
        std::string text = get_if<exception_group>(e) != nullptr ? "eg" : "beg";
        text += "('" + g->message() + "', [";
        for (std::size_t i = 0; i != g->size(); ++i)
            text += (i == 0 ? "" : ", ") + show(g->exceptions()[i]);
        return text + "])";
    }
    if (const auto* cancelled = get_if<cancelled_error>(e))
        return "cancelled('" + std::string(cancelled->message()) + "')";
    if (const auto* number = get_if<int>(e))
        return std::to_string(*number);
    if (const auto* exception = get_if<std::exception>(e))
        return muster::type_name(e) + "('" + exception->what() + "')";
    return muster::type_name(e);
}

/// Runs a try statement: *returns* what left it.
template <class Body>
std::exception_ptr left_by(Body body) {
    try {
        body();
    } catch (...) {
        return std::current_exception();
    }
    return nullptr;
}

/// A handler that keeps what it was called with.
auto seen(std::vector<std::string>& parts) {
    return [&parts](const base_exception_group&) { parts.push_back(show(std::current_exception())); };
}

using texts = std::vector<std::string>;

// ---- construction and types

TEST(exception_group, a_group_of_errors_is_a_std_exception_and_a_group) {
    static_assert(std::is_base_of_v<std::exception, exception_group>);
    static_assert(!std::is_base_of_v<std::exception, base_exception_group>);
    static_assert(std::is_nothrow_copy_constructible_v<exception_group>);
    static_assert(std::is_nothrow_copy_constructible_v<base_exception_group>);
    static_assert(std::is_nothrow_copy_assignable_v<exception_group>);
    const auto eg = group("eg", {one<value_error>("1"), one<type_error>("T")});
    EXPECT_EQ(show(eg), "eg('eg', [value_error('1'), type_error('T')])");
    EXPECT_NE(get_if<std::exception>(eg), nullptr);
    EXPECT_NE(as_group(eg), nullptr);
    EXPECT_EQ(as_group(one<value_error>("1")), nullptr);
    EXPECT_EQ(as_group(nullptr), nullptr);
}

TEST(exception_group, a_group_that_holds_a_cancellation_is_no_std_exception) {
    const auto beg = group("beg", {one<value_error>("1"), one<cancelled_error>("c")});
    EXPECT_EQ(show(beg), "beg('beg', [value_error('1'), cancelled('c')])");
    EXPECT_EQ(get_if<std::exception>(beg), nullptr);
    EXPECT_EQ(show(group("outer", {one<value_error>("2"), group("nested", {beg})})),
        "beg('outer', [value_error('2'), beg('nested', [beg('beg', [value_error('1'), cancelled('c')])])])");
}

TEST(exception_group, whatever_else_is_thrown_is_an_error) {
    EXPECT_EQ(
        show(group("eg", {std::make_exception_ptr(3), std::make_exception_ptr(bare{"x"})})), "eg('eg', [3, bare])");
}

TEST(exception_group, a_nested_group_that_holds_cancellations_is_shown_whole) {
    const auto flat = [] { return group("flat", {one<value_error>("1"), one<cancelled_error>("")}); };
    EXPECT_EQ(show(group("nested", {flat(), one<value_error>("1"), flat()})),
        "beg('nested', [beg('flat', [value_error('1'), cancelled('')]), value_error('1'), "
        "beg('flat', [value_error('1'), cancelled('')])])");
}

TEST(exception_group, catch_chooses_by_what_the_group_holds) {
    const auto caught_as = [](const std::exception_ptr& e) -> std::string {
        try {
            std::rethrow_exception(e);
        } catch (const exception_group&) {
            return "exception_group";
        } catch (const std::exception&) {
            return "exception";
        } catch (const base_exception_group&) {
            return "base_exception_group";
        }
    };
    EXPECT_EQ(caught_as(group("", {one<value_error>("1")})), "exception_group");
    EXPECT_EQ(caught_as(group("", {one<cancelled_error>("1")})), "base_exception_group");
    EXPECT_THROW(muster::throw_exception_group("x", {one<value_error>("1")}), exception_group);
    EXPECT_THROW(muster::throw_exception_group("x", {one<cancelled_error>("1")}), base_exception_group);
}

TEST(exception_group, an_empty_group_cannot_be_made) {
    EXPECT_THROW(exception_group("eg", {}), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(group("eg", {})), std::invalid_argument);
    try {
        exception_group("eg", {});
    } catch (const std::invalid_argument& e) {
        EXPECT_STREQ(e.what(), "an exception group must hold at least one exception");
    }
}

TEST(exception_group, a_null_cannot_be_in_a_group) {
    try {
        static_cast<void>(group("eg", {one<value_error>("1"), nullptr}));
        ADD_FAILURE() << "it was made";
    } catch (const std::invalid_argument& e) {
        EXPECT_STREQ(e.what(), "an exception group cannot hold a null exception_ptr: number 1 is null");
    }
}

TEST(exception_group, an_exception_group_refuses_a_cancellation_and_says_what_to_use) {
    for (const auto& held : {one<cancelled_error>("c"), group("beg", {one<cancelled_error>("c")})}) {
        try {
            exception_group("eg", {held});
            ADD_FAILURE() << "it was made";
        } catch (const std::invalid_argument& e) {
            EXPECT_NE(std::string(e.what()).find("make_exception_group"), std::string::npos);
        }
    }
}

TEST(exception_group, copies_share_what_they_hold) {
    const exception_group original("eg", {one<value_error>("1")});
    auto copy = original;
    EXPECT_EQ(&copy.exceptions(), &original.exceptions());
    auto moved = std::move(copy);
    EXPECT_EQ(copy.size(), 1U) << "a group is never empty, not even when it was moved from";
    EXPECT_EQ(moved.message(), "eg");
}

// ---- what()

TEST(exception_group, what_shows_the_tree) {
    const auto eg = group("2 of 3 uploads failed",
        {one<value_error>("bad header"),
            group("mirror",
                {std::make_exception_ptr(5), one<os_error>("a\nb"), group("", {one<cancelled_error>("late")})}),
            std::make_exception_ptr(bare{"x"})});
    EXPECT_STREQ(as_group(eg)->what(), "2 of 3 uploads failed (3 sub-exceptions)\n"
                                       "|- value_error: bad header\n"
                                       "|- muster::base_exception_group: mirror (3 sub-exceptions)\n"
                                       "|  |- int: 5\n"
                                       "|  |- os_error: a\n"
                                       "|  |  b\n"
                                       "|  `- muster::base_exception_group (1 sub-exception)\n"
                                       "|     `- cancelled: late\n"
                                       "`- bare");
}

TEST(exception_group, what_of_a_group_without_a_message_counts) {
    const exception_group eg("", {one<value_error>("1")});
    EXPECT_STREQ(eg.what(), "1 sub-exception\n`- value_error: 1");
    EXPECT_EQ(static_cast<const std::exception&>(eg).what(), eg.what()) << "it is made once";
}

TEST(exception_group, what_of_a_very_large_group_says_how_many_it_leaves_out) {
    std::vector<std::exception_ptr> many(5000, one<value_error>("v"));
    const exception_group eg("many", {group("in", many), one<type_error>("t")});
    const std::string text = eg.what();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1001);
    const std::string end = "\n... and 4002 more that are not shown here";
    ASSERT_GT(text.size(), end.size());
    EXPECT_EQ(text.substr(text.size() - end.size()), end);
}

TEST(exception_group, what_may_be_asked_on_two_threads_at_once) {
    const exception_group eg("eg", {one<value_error>("1")});
    const char* other = nullptr;
    std::thread thread([&other, copy = eg] { other = copy.what(); });
    const char* mine = eg.what();
    thread.join();
    EXPECT_EQ(mine, other);
}

// ---- looking inside

TEST(exception_group, leaves_are_visited_in_order_through_nested_groups) {
    const auto eg =
        group("g", {one<value_error>("1"), group("h", {group("i", {one<type_error>("2")}), one<os_error>("3")}),
                       one<value_error>("4")});
    texts leaves;
    as_group(eg)->for_each_leaf([&](const std::exception_ptr& leaf) { leaves.push_back(show(leaf)); });
    EXPECT_EQ(leaves, (texts{"value_error('1')", "type_error('2')", "os_error('3')", "value_error('4')"}));
    EXPECT_EQ(as_group(eg)->leaf_count(), 4U);
    EXPECT_EQ(as_group(eg)->size(), 3U);
}

TEST(exception_group, error_types_names_each_type_once_in_order) {
    const exception_group eg("g",
        {one<value_error>("1"), group("h", {one<os_error>("2"), one<value_error>("3")}), std::make_exception_ptr(4)});
    EXPECT_EQ(eg.error_types(), (texts{"value_error", "os_error", "int"}));
}

TEST(exception_group, contains_and_leaves_of_see_base_classes_in_nested_groups) {
    const exception_group eg("g", {one<connection_error>("1"), group("h", {one<late_error>("2"), one<type_error>("3")}),
                                      std::make_exception_ptr(4)});
    EXPECT_TRUE(eg.contains<os_error>());
    EXPECT_TRUE(eg.contains<late_error>());
    EXPECT_TRUE(eg.contains<int>());
    EXPECT_FALSE(eg.contains<value_error>());
    EXPECT_FALSE(eg.contains<cancelled_error>());
    texts found;
    for (const os_error* e : eg.leaves_of<os_error>())
        found.emplace_back(e->what());
    EXPECT_EQ(found, (texts{"1", "2"}));
    ASSERT_EQ(eg.leaves_of<int>().size(), 1U);
    EXPECT_EQ(*eg.leaves_of<int>()[0], 4);
    EXPECT_EQ(eg.leaves_of<std::exception>().size(), 3U);
}

// ---- split, subgroup, derive

std::string show(const muster::group_split& s) { return "match " + show(s.match) + " rest " + show(s.rest); }

const char* const simple_text = "eg('simple eg', [value_error('1'), type_error('T'), value_error('2')])";
std::exception_ptr simple() {
    return group("simple eg", {one<value_error>("1"), one<type_error>("T"), one<value_error>("2")});
}
bool anything(const std::exception_ptr&) { return true; }

TEST(exception_group, split_without_a_match_gives_the_group_itself_as_the_rest) {
    const auto eg = simple();
    EXPECT_EQ(show(as_group(eg)->split<os_error>()), std::string("match none rest ") + simple_text);
    EXPECT_EQ(as_group(eg)->subgroup<os_error>(), nullptr);
}

TEST(exception_group, split_by_a_type_of_the_group_itself_passes_it_through) {
    const auto eg = simple();
    const auto whole = std::string("match ") + simple_text + " rest none";
    EXPECT_EQ(show(as_group(eg)->split(anything)), whole);
    EXPECT_EQ(show(as_group(eg)->split<std::exception>()), whole);
    EXPECT_EQ(show(as_group(eg)->split<base_exception_group>()), whole);
    EXPECT_EQ(show(as_group(eg)->split<exception_group>()), whole);
    EXPECT_EQ(show(as_group(eg)->subgroup(anything)), simple_text);
    EXPECT_EQ(show(as_group(eg)->subgroup<std::exception>()), simple_text);
    EXPECT_EQ(show(as_group(eg)->subgroup<base_exception_group>()), simple_text);
    EXPECT_EQ(show(as_group(eg)->subgroup<exception_group>()), simple_text);
}

TEST(exception_group, split_keeps_the_shape_and_drops_groups_that_become_empty) {
    const auto eg = group("root", {group("nested", {one<type_error>("T")}), one<value_error>("1")});
    EXPECT_EQ(show(as_group(eg)->split<type_error>()),
        "match eg('root', [eg('nested', [type_error('T')])]) rest eg('root', [value_error('1')])");
}

TEST(exception_group, split_by_a_base_class_finds_the_derived_ones) {
    const auto st =
        group("st", {one<connection_error>("c"), one<type_error>("T"), one<os_error>("o"), one<late_error>("t")});
    EXPECT_EQ(show(as_group(st)->split<os_error>()),
        "match eg('st', [connection_error('c'), os_error('o'), late_error('t')]) rest eg('st', [type_error('T')])");
    const auto keys = group("st", {one<key_error>("k"), one<value_error>("1")});
    EXPECT_EQ(show(as_group(keys)->split<lookup_error>()),
        "match eg('st', [key_error('k')]) rest eg('st', [value_error('1')])");
}

TEST(exception_group, split_by_types_of_a_deeper_tree) {
    const auto eg = group("msg3",
        {group("msg2", {group("msg1", {one<value_error>("6"), one<type_error>("int"), one<value_error>("7")}),
                           group("msg1", {one<value_error>("7"), one<type_error>("int"), one<value_error>("8")}),
                           one<value_error>("8")}),
            one<value_error>("7")});
    const auto all = show(eg);
    const std::string values = "eg('msg3', [eg('msg2', [eg('msg1', [value_error('6'), value_error('7')]), eg('msg1', "
                               "[value_error('7'), value_error('8')]), value_error('8')]), value_error('7')])";
    const std::string types =
        "eg('msg3', [eg('msg2', [eg('msg1', [type_error('int')]), eg('msg1', [type_error('int')])])])";
    const auto& g = *as_group(eg);
    EXPECT_EQ(show(g.split<os_error>()), "match none rest " + all);
    EXPECT_EQ(show(g.split(anything)), "match " + all + " rest none");
    EXPECT_EQ(show(g.split<value_error, type_error>()), "match " + all + " rest none");
    EXPECT_EQ(show(g.split<value_error>()), "match " + values + " rest " + types);
    EXPECT_EQ(show(g.split<type_error, os_error>()), "match " + types + " rest " + values);
    EXPECT_EQ(show(g.split<exception_group>()), "match " + all + " rest none");
    EXPECT_EQ(show(g.subgroup<type_error>()), types);
}

TEST(exception_group, split_changes_the_type_of_a_part_by_what_it_holds) {
    const auto beg = group("b", {one<value_error>("1"), group("n", {one<cancelled_error>("c"), one<os_error>("o")})});
    EXPECT_EQ(show(as_group(beg)->split<error>()),
        "match eg('b', [value_error('1'), eg('n', [os_error('o')])]) rest beg('b', [beg('n', [cancelled('c')])])");
}

TEST(exception_group, a_predicate_sees_the_group_then_what_it_holds) {
    const auto eg =
        group("g", {one<value_error>("1"), group("h", {one<type_error>("2")}), group("i", {one<type_error>("3")})});
    texts asked;
    const auto parts = as_group(eg)->split([&](const std::exception_ptr& e) {
        asked.push_back(show(e));
        const auto* nested = as_group(e);
        return nested != nullptr && nested->message() == "h";
    });
    EXPECT_EQ(
        asked, (texts{"eg('g', [value_error('1'), eg('h', [type_error('2')]), eg('i', [type_error('3')])])",
                   "value_error('1')", "eg('h', [type_error('2')])", "eg('i', [type_error('3')])", "type_error('3')"}));
    EXPECT_EQ(show(parts),
        "match eg('g', [eg('h', [type_error('2')])]) rest eg('g', [value_error('1'), eg('i', [type_error('3')])])");
}

TEST(exception_group, parts_hold_the_exceptions_themselves) {
    const auto value = one<value_error>("1");
    const auto untouched = group("n", {one<type_error>("2")});
    const auto eg = group("g", {value, untouched});
    const auto parts = as_group(eg)->split<value_error>();
    EXPECT_EQ(as_group(parts.match)->exceptions()[0], value);
    EXPECT_EQ(as_group(parts.rest)->exceptions()[0], untouched);
}

TEST(exception_group, a_group_that_is_being_handled_and_matches_whole_is_the_match_itself) {
    try {
        muster::throw_exception_group("g", {one<value_error>("1")});
    } catch (const base_exception_group& g) {
        EXPECT_EQ(g.split<std::exception>().match, std::current_exception());
        EXPECT_EQ(g.split<os_error>().rest, std::current_exception());
        EXPECT_EQ(g.pointer(), std::current_exception());
    }
}

TEST(exception_group, derive_keeps_the_message_and_chooses_the_type) {
    const exception_group eg("eg", {one<value_error>("1")});
    EXPECT_EQ(show(eg.derive({one<type_error>("T")})), "eg('eg', [type_error('T')])");
    EXPECT_EQ(show(eg.derive({one<cancelled_error>("c")})), "beg('eg', [cancelled('c')])");
    EXPECT_THROW(static_cast<void>(eg.derive({})), std::invalid_argument);
}

class upload_errors : public exception_group {
public:
    upload_errors(std::string message, std::vector<std::exception_ptr> exceptions, int attempt)
        : exception_group(std::move(message), std::move(exceptions)),
          attempt_(attempt) {}
    [[nodiscard]] int attempt() const { return attempt_; }
    [[nodiscard]] std::exception_ptr derive(std::vector<std::exception_ptr> exceptions) const override {
        return std::make_exception_ptr(upload_errors(message(), std::move(exceptions), attempt_));
    }

private:
    int attempt_;
};

TEST(exception_group, a_derived_class_keeps_what_it_adds_in_its_parts) {
    const upload_errors errors("up", {one<value_error>("1"), one<type_error>("2")}, 3);
    const auto [match, rest] = errors.split<value_error>();
    ASSERT_NE(get_if<upload_errors>(match), nullptr);
    ASSERT_NE(get_if<upload_errors>(rest), nullptr);
    EXPECT_EQ(get_if<upload_errors>(match)->attempt(), 3);
    EXPECT_EQ(get_if<upload_errors>(rest)->attempt(), 3);
    EXPECT_EQ(show(rest), "eg('up', [type_error('2')])");

    const auto left = left_by(
        [&] { handle_group(std::make_exception_ptr(errors), on<value_error>([] { throw; }), on<type_error>([] {})); });
    ASSERT_NE(get_if<upload_errors>(left), nullptr);
    EXPECT_EQ(show(left), "eg('up', [value_error('1')])");
}

class group_of_all : public base_exception_group {
public:
    explicit group_of_all(std::vector<std::exception_ptr> exceptions)
        : base_exception_group("all", std::move(exceptions)) {}
    [[nodiscard]] std::exception_ptr derive(std::vector<std::exception_ptr>) const override {
        return one<value_error>("no group");
    }
};

TEST(exception_group, derive_that_returns_no_group_is_an_error_that_says_so) {
    const auto g = std::make_exception_ptr(group_of_all({one<value_error>("1"), one<type_error>("2")}));
    try {
        handle_group(g, on<value_error>([] {}));
        ADD_FAILURE() << "it was taken";
    } catch (const std::logic_error& e) {
        EXPECT_STREQ(e.what(), "derive() of an exception group must return a group, not value_error: no group");
    }
}

TEST(exception_group, a_class_derived_from_the_base_makes_its_parents_base_groups) {
    EXPECT_EQ(show(group("g", {std::make_exception_ptr(group_of_all({one<value_error>("1")}))})),
        "beg('g', [beg('all', [value_error('1')])])");
}

TEST(exception_group, groups_may_be_nested_without_limit) {
    auto nested = group("g", {one<value_error>("deep"), one<type_error>("deep")});
    for (int i = 0; i != 100'000; ++i)
        nested = group("g", {nested});
    EXPECT_EQ(as_group(nested)->leaf_count(), 2U);
    EXPECT_TRUE(as_group(nested)->contains<value_error>());
    auto [match, rest] = as_group(nested)->split<value_error>();
    EXPECT_EQ(as_group(match)->error_types(), texts{"value_error"});
    EXPECT_EQ(as_group(rest)->error_types(), texts{"type_error"});
    const std::string text = as_group(nested)->what();
    EXPECT_NE(text.find("\n... and 2 more that are not shown here"), std::string::npos);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 33);
}

// ---- handle_group: one test for each published except* scenario

TEST(handle_group, an_error_handler_takes_the_errors_of_a_group_with_a_cancellation) {
    texts parts;
    const auto left = left_by([&] {
        handle_group(group("b", {one<value_error>("1"), one<cancelled_error>("c")}), on<std::exception>(seen(parts)));
    });
    EXPECT_EQ(parts, texts{"eg('b', [value_error('1')])"});
    EXPECT_EQ(show(left), "beg('b', [cancelled('c')])");
}

TEST(handle_group, a_group_that_matches_whole_is_not_wrapped) {
    texts parts;
    handle_group(group("eg", {one<value_error>("V")}), on<std::exception>(seen(parts)));
    EXPECT_EQ(parts, texts{"eg('eg', [value_error('V')])"});
}

TEST(handle_group, handlers_run_in_their_order_with_what_is_theirs) {
    texts parts;
    handle_group(group("eg", {one<type_error>("T"), one<value_error>("1")}), on<type_error>(seen(parts)),
        on<value_error>(seen(parts)));
    EXPECT_EQ(parts, (texts{"eg('eg', [type_error('T')])", "eg('eg', [value_error('1')])"}));
}

TEST(handle_group, a_handler_for_a_base_class_takes_the_derived) {
    texts parts;
    const auto left = left_by([&] {
        handle_group(group("st", {one<connection_error>("io"), one<type_error>("T")}), on<os_error>(seen(parts)));
    });
    EXPECT_EQ(parts, texts{"eg('st', [connection_error('io')])"});
    EXPECT_EQ(show(left), "eg('st', [type_error('T')])");
}

std::exception_ptr two_levels() {
    return group("g1", {one<value_error>("V1"), one<os_error>("OS1"),
                           group("g2", {one<os_error>("OS2"), one<value_error>("V2"), one<type_error>("T")})});
}

TEST(handle_group, a_handler_for_one_type_takes_it_from_nested_groups) {
    texts parts;
    const auto left = left_by([&] { handle_group(two_levels(), on<value_error>(seen(parts))); });
    EXPECT_EQ(parts, texts{"eg('g1', [value_error('V1'), eg('g2', [value_error('V2')])])"});
    EXPECT_EQ(show(left), "eg('g1', [os_error('OS1'), eg('g2', [os_error('OS2'), type_error('T')])])");
}

TEST(handle_group, a_partial_match_leaves_the_rest) {
    texts parts;
    const auto left = left_by([&] {
        handle_group(group("test3", {one<value_error>("V1"), one<os_error>("OS"), one<value_error>("V2")}),
            on<value_error>(seen(parts)));
    });
    EXPECT_EQ(parts, texts{"eg('test3', [value_error('V1'), value_error('V2')])"});
    EXPECT_EQ(show(left), "eg('test3', [os_error('OS')])");
}

TEST(handle_group, a_handler_for_two_types_takes_both_from_nested_groups) {
    texts parts;
    const auto left = left_by([&] { handle_group(two_levels(), on<value_error, type_error>(seen(parts))); });
    EXPECT_EQ(parts, texts{"eg('g1', [value_error('V1'), eg('g2', [value_error('V2'), type_error('T')])])"});
    EXPECT_EQ(show(left), "eg('g1', [os_error('OS1'), eg('g2', [os_error('OS2')])])");
}

TEST(handle_group, a_later_handler_for_a_base_class_gets_what_an_earlier_one_left) {
    texts parts;
    handle_group(group("mm", {one<os_error>("os"), one<connection_error>("io")}), on<connection_error>(seen(parts)),
        on<os_error>(seen(parts)));
    EXPECT_EQ(parts, (texts{"eg('mm', [connection_error('io')])", "eg('mm', [os_error('os')])"}));
}

TEST(handle_group, an_error_that_is_no_group_is_wrapped_for_its_handler) {
    texts parts;
    handle_group(one<value_error>("V"), on<std::exception>(seen(parts)));
    EXPECT_EQ(parts, texts{"eg('', [value_error('V')])"});
    handle_group(one<cancelled_error>("c"), on<cancelled_error>(seen(parts)));
    EXPECT_EQ(parts[1], "beg('', [cancelled('c')])");
}

TEST(handle_group, handlers_may_handle_groups_themselves) {
    texts parts;
    handle_group(group("n", {one<connection_error>("io")}), on<connection_error>([&](const base_exception_group&) {
        parts.push_back(show(std::current_exception()));
        handle_group(group("m", {one<value_error>("1")}), on<value_error>(seen(parts)));
        parts.emplace_back("outer");
    }));
    EXPECT_EQ(parts, (texts{"eg('n', [connection_error('io')])", "eg('m', [value_error('1')])", "outer"}));
}

TEST(handle_group, may_be_used_again_and_again) {
    texts parts;
    for (int i = 0; i != 2; ++i)
        handle_group(group("nl", {one<connection_error>("io")}), on<connection_error>(seen(parts)));
    EXPECT_EQ(parts, texts(2, "eg('nl', [connection_error('io')])"));
}

TEST(handle_group, without_an_error_no_handler_is_called) {
    texts parts;
    handle_group(nullptr, on<std::exception>(seen(parts)), on_if(anything, seen(parts)));
    EXPECT_EQ(parts, texts());
}

TEST(handle_group, an_error_that_is_no_group_and_not_matched_is_thrown_as_itself) {
    texts parts;
    const auto error = one<value_error>("V");
    const auto left = left_by([&] { handle_group(error, on<type_error>(seen(parts))); });
    EXPECT_EQ(parts, texts());
    EXPECT_EQ(left, error);
}

TEST(handle_group, what_is_raised_comes_before_what_is_reraised_and_left) {
    texts parts;
    const auto left = left_by([&] {
        handle_group(group("eg", {one<type_error>("T"), one<value_error>("2"), one<os_error>("3")}),
            on<value_error>([&](const base_exception_group& part) {
                seen(parts)(part);
                throw run_error("new");
            }),
            on<type_error>([&](const base_exception_group& part) {
                seen(parts)(part);
                throw;
            }));
    });
    EXPECT_EQ(parts, (texts{"eg('eg', [value_error('2')])", "eg('eg', [type_error('T')])"}));
    EXPECT_EQ(show(left), "eg('', [run_error('new'), eg('eg', [type_error('T'), os_error('3')])])");
}

TEST(handle_group, a_cancellation_that_a_handler_raises_makes_the_result_a_base_group) {
    const auto left = left_by([&] {
        handle_group(group("eg", {one<value_error>("1"), one<os_error>("OS")}),
            on<os_error>([] { throw cancelled_error("c"); }));
    });
    EXPECT_EQ(show(left), "beg('', [cancelled('c'), eg('eg', [value_error('1')])])");
}

TEST(handle_group, what_is_raised_alone_is_thrown_as_itself) {
    EXPECT_EQ(show(left_by([] { handle_group(one<value_error>("V"), on<value_error>([] { throw run_error("3"); })); })),
        "run_error('3')");
}

TEST(handle_group, two_that_are_raised_are_a_group) {
    const auto left = left_by([] {
        handle_group(group("eg", {one<type_error>("T"), one<value_error>("2")}),
            on<type_error>([] { throw run_error("3"); }), on<value_error>([] { throw run_error("4"); }));
    });
    EXPECT_EQ(show(left), "eg('', [run_error('3'), run_error('4')])");
}

TEST(handle_group, a_later_handler_does_not_see_what_an_earlier_one_raised) {
    texts parts;
    const auto left = left_by([&] {
        handle_group(group("eg", {one<type_error>("T")}), on<type_error>([] { throw value_error("new"); }),
            on<value_error>(seen(parts)));
    });
    EXPECT_EQ(parts, texts());
    EXPECT_EQ(show(left), "value_error('new')");
}

TEST(handle_group, a_copy_of_the_part_that_is_thrown_is_raised_and_not_reraised) {
    const auto throw_copy = [](const base_exception_group&) {
        throw exception_group(*get_if<exception_group>(std::current_exception()));
    };
    EXPECT_EQ(show(left_by([&] {
        handle_group(group("eg", {one<type_error>("T"), one<value_error>("2"), one<os_error>("3")}),
            on<type_error>(throw_copy), on<value_error>([] {}));
    })),
        "eg('', [eg('eg', [type_error('T')]), eg('eg', [os_error('3')])])");
    EXPECT_EQ(show(left_by([&] { handle_group(group("eg", {one<type_error>("T")}), on<type_error>(throw_copy)); })),
        "eg('eg', [type_error('T')])");
}

TEST(handle_group, what_is_raised_is_thrown_beside_the_rest) {
    const auto left = left_by([] {
        handle_group(
            group("eg", {one<value_error>("1"), one<os_error>("2")}), on<os_error>([] { throw type_error("3"); }));
    });
    EXPECT_EQ(show(left), "eg('', [type_error('3'), eg('eg', [value_error('1')])])");
}

TEST(handle_group, when_every_handler_reraises_the_original_is_thrown) {
    const auto original = group("eg", {one<type_error>("T"), one<value_error>("2"), one<os_error>("3")});
    const auto left = left_by([&] {
        handle_group(original, on<type_error>([] { throw; }),
            on<value_error>([](const base_exception_group&) { std::rethrow_exception(std::current_exception()); }));
    });
    EXPECT_EQ(show(left), "eg('eg', [type_error('T'), value_error('2'), os_error('3')])");
    EXPECT_EQ(left, original);
}

TEST(handle_group, what_is_reraised_goes_back_to_its_place_in_nested_groups) {
    texts parts;
    const auto left = left_by([&] {
        handle_group(group("eg", {group("in", {one<type_error>("T"), one<value_error>("2"), one<os_error>("OS")}),
                                     one<value_error>("4")}),
            on<type_error>([] { throw; }), on<value_error>(seen(parts)));
    });
    EXPECT_EQ(parts, texts{"eg('eg', [eg('in', [value_error('2')]), value_error('4')])"});
    EXPECT_EQ(show(left), "eg('eg', [eg('in', [type_error('T'), os_error('OS')])])");
}

TEST(handle_group, groups_of_one_are_kept) {
    texts parts;
    const auto left = left_by([&] {
        handle_group(
            group("j1", {group("j2", {group("j3", {one<value_error>("V1")}), group("j4", {one<type_error>("T")})})}),
            on<type_error>(seen(parts)));
    });
    EXPECT_EQ(parts, texts{"eg('j1', [eg('j2', [eg('j4', [type_error('T')])])])"});
    EXPECT_EQ(show(left), "eg('j1', [eg('j2', [eg('j3', [value_error('V1')])])])");
}

TEST(handle_group, what_a_task_group_throws_is_sorted_by_type) {
    texts parts;
    const auto left = left_by([&] {
        handle_group(
            group("unhandled errors in a TaskGroup", {one<value_error>("a"), one<os_error>("b"), one<type_error>("c")}),
            on<value_error>(seen(parts)), on<type_error>(seen(parts)));
    });
    EXPECT_EQ(parts, (texts{"eg('unhandled errors in a TaskGroup', [value_error('a')])",
                         "eg('unhandled errors in a TaskGroup', [type_error('c')])"}));
    EXPECT_EQ(show(left), "eg('unhandled errors in a TaskGroup', [os_error('b')])");
}

// ---- handle_group beyond the scenarios

TEST(handle_group, an_error_that_was_wrapped_stays_wrapped_when_it_is_reraised) {
    EXPECT_EQ(show(left_by([] { handle_group(one<value_error>("V"), on<value_error>([] { throw; })); })),
        "eg('', [value_error('V')])");
}

TEST(handle_group, without_a_match_the_original_itself_is_thrown) {
    const auto original = simple();
    EXPECT_EQ(left_by([&] { handle_group(original, on<os_error>([] {})); }), original);
    EXPECT_EQ(left_by([&] { handle_group(original); }), original);
}

TEST(handle_group, returns_what_the_handlers_that_were_called_returned) {
    const auto counts = handle_group(two_levels(), on<key_error>([] { return 100; }),
        on<value_error>([](const base_exception_group& part) { return static_cast<int>(part.leaf_count()); }),
        on<std::exception>([] {}));
    static_assert(std::is_same_v<decltype(counts), const std::vector<int>>);
    EXPECT_EQ(counts, std::vector<int>{2});
    static_assert(std::is_void_v<decltype(handle_group(nullptr, on<int>([] {})))>);
    const auto mixed = handle_group(group("g", {one<value_error>("v"), one<type_error>("t")}),
        on<value_error>([] { return 1; }), on<type_error>([] { return 2.5; }));
    EXPECT_EQ(mixed, (std::vector<double>{1.0, 2.5}));
    auto owned = handle_group(one<value_error>("v"), on<value_error>([] { return std::make_unique<int>(5); }));
    ASSERT_EQ(owned.size(), 1U);
    EXPECT_EQ(*owned[0], 5);
}

TEST(handle_group, on_if_takes_what_its_predicate_says) {
    texts parts;
    const auto is_two = [](const std::exception_ptr& e) {
        const auto* number = get_if<int>(e);
        return number != nullptr && *number == 2;
    };
    const auto left = left_by([&] {
        handle_group(group("g", {std::make_exception_ptr(1), std::make_exception_ptr(2)}), on_if(is_two, seen(parts)));
    });
    EXPECT_EQ(parts, texts{"eg('g', [2])"});
    EXPECT_EQ(show(left), "eg('g', [1])");
}

TEST(handle_group, takes_a_group_that_was_caught) {
    texts parts;
    std::exception_ptr caught;
    const auto left = left_by([&] {
        try {
            muster::throw_exception_group("g", {one<value_error>("1"), one<type_error>("2")});
        } catch (const exception_group& g) {
            caught = std::current_exception();
            handle_group(g, on<value_error>([] { throw; }));
        }
    });
    EXPECT_EQ(left, caught);
}

TEST(handle_group, an_exception_that_is_in_the_group_and_thrown_alone_is_raised) {
    const auto left = left_by([] {
        handle_group(group("g", {one<value_error>("1"), one<type_error>("2")}),
            on<value_error>([](const base_exception_group& part) { std::rethrow_exception(part.exceptions()[0]); }));
    });
    EXPECT_EQ(show(left), "eg('', [value_error('1'), eg('g', [type_error('2')])])");
}

TEST(handle_group, the_original_that_a_handler_throws_again_is_thrown_once) {
    const auto original = simple();
    const auto left =
        left_by([&] { handle_group(original, on<value_error>([&] { std::rethrow_exception(original); })); });
    EXPECT_EQ(left, original);
}

// ---- group_dispatch

TEST(group_dispatch, gives_each_part_once_and_the_rest_at_the_end) {
    group_dispatch dispatch(simple());
    const auto values = dispatch.take<value_error>();
    EXPECT_EQ(show(values), "eg('simple eg', [value_error('1'), value_error('2')])");
    EXPECT_EQ(dispatch.take<value_error>(), nullptr);
    EXPECT_EQ(show(dispatch.rest()), "eg('simple eg', [type_error('T')])");
    EXPECT_EQ(dispatch.take([](const std::exception_ptr& e) { return muster::is_a<os_error>(e); }), nullptr);
    dispatch.ended(values, nullptr);
    EXPECT_EQ(show(dispatch.finish()), "eg('simple eg', [type_error('T')])");
}

TEST(group_dispatch, tells_raised_from_reraised) {
    group_dispatch again(simple());
    const auto part = again.take<value_error>();
    again.ended(part, part);
    EXPECT_EQ(show(again.finish()), simple_text);

    group_dispatch anew(simple());
    anew.raised(anew.take<value_error>());
    EXPECT_EQ(show(anew.finish()),
        "eg('', [eg('simple eg', [value_error('1'), value_error('2')]), eg('simple eg', [type_error('T')])])");
}

TEST(group_dispatch, reraising_what_was_not_taken_loses_nothing) {
    group_dispatch dispatch(simple());
    const auto part = dispatch.take<value_error, type_error>();
    dispatch.reraised(group("other", {one<os_error>("o")}));
    dispatch.ended(part, nullptr);
    EXPECT_EQ(show(dispatch.finish()), "eg('other', [os_error('o')])");
}

TEST(group_dispatch, ends_with_nothing_if_all_was_handled) {
    group_dispatch dispatch(one<value_error>("v"));
    const auto part = dispatch.take<std::exception>();
    EXPECT_EQ(show(part), "eg('', [value_error('v')])");
    EXPECT_EQ(dispatch.rest(), nullptr);
    EXPECT_EQ(dispatch.take<std::exception>(), nullptr);
    EXPECT_EQ(dispatch.finish(), nullptr);
    EXPECT_EQ(group_dispatch(nullptr).finish(), nullptr);
}

TEST(group_dispatch, reports_what_is_left_if_nobody_asks_for_it) {
    std::vector<muster::report> reports;
    const auto before = muster::set_report_handler([&](const muster::report& r) { reports.push_back(r); });
    { group_dispatch nothing_left(nullptr); }
    {
        group_dispatch asked(simple());
        EXPECT_EQ(show(asked.finish()), simple_text);
    }
    {
        group_dispatch forgotten(simple());
        const auto part = forgotten.take<type_error>();
        EXPECT_NE(part, nullptr);
    }
    muster::set_report_handler(before);
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].kind, muster::report_kind::suppressed);
    EXPECT_EQ(show(reports[0].error), "eg('simple eg', [value_error('1'), value_error('2')])");
}

TEST(group_dispatch, an_exception_that_is_twice_in_the_tree_stays_twice) {
    const auto value = one<value_error>("1");
    group_dispatch dispatch(group("g", {value, one<type_error>("2"), group("h", {value})}));
    const auto types = dispatch.take<type_error>();
    dispatch.ended(types, nullptr);
    EXPECT_EQ(show(dispatch.finish()), "eg('g', [value_error('1'), eg('h', [value_error('1')])])");
}

} // namespace
