// SPDX-License-Identifier: MIT
#include <muster/handle_group.hpp>

#include <muster/error.hpp>
#include <muster/exception_group.hpp>
#include <muster/report.hpp>

#include "../support/raised_errors.hpp"

#include <exception>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

namespace {

using muster::group_dispatch;
using muster::handle_group;
using muster::on;
using muster::on_if;

/// A handler that keeps what it was called with.
auto seen(std::vector<std::string>& parts) {
    return [&parts](const base_exception_group&) { parts.push_back(show(std::current_exception())); };
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
