// SPDX-License-Identifier: MIT
// Exception groups: the state that copies share, the text of what(), and the split of a tree. Groups may be nested
// without limit, so nothing here recurses over the nesting: walks keep a stack of their own, releasing puts nested
// groups on a list, and only what() recurses, to a fixed depth.
#include <muster/exception_group.hpp>

#include "vocabulary/printable.hpp"

#include <muster/error.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <iterator>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <typeindex>
#include <unordered_set>
#include <utility>
#include <vector>

namespace muster {
namespace detail {

/// The state that the copies of a group share: at least one exception, none of them null.
class group_state {
public:
    /// *Errors*: std::invalid_argument if `held` is empty or holds a null.
    group_state(std::string text, std::vector<std::exception_ptr> held);
    group_state(const group_state&) = delete;
    group_state& operator=(const group_state&) = delete;
    ~group_state();

    [[nodiscard]] const std::string& message() const noexcept { return message_; }
    [[nodiscard]] const std::vector<std::exception_ptr>& exceptions() const noexcept { return exceptions_; }
    [[nodiscard]] bool holds_cancellation() const noexcept { return holds_cancellation_; }

    /// *Returns* the text of what(), made by `make` when it is first asked for. Two threads may both make it; the text
    /// of the first one stays.
    template <class Make>
    const char* tree(Make make) const {
        if (const auto* made = tree_.load(std::memory_order_acquire))
            return made->c_str();
        auto fresh = std::make_unique<const std::string>(make());
        const std::string* expected = nullptr;
        if (tree_.compare_exchange_strong(expected, fresh.get(), std::memory_order_acq_rel))
            expected = fresh.release();
        return expected->c_str();
    }

private:
    std::string message_;
    std::vector<std::exception_ptr> exceptions_;
    bool holds_cancellation_ = false;
    mutable std::atomic<const std::string*> tree_{nullptr};
};

namespace {

using exception_list = std::vector<std::exception_ptr>;

/// The exceptions whose release is put off until the outermost group on this thread has none left: groups nested
/// without limit would otherwise be destroyed by as many nested calls.
constinit thread_local exception_list* being_released = nullptr;

void release(exception_list held) noexcept {
    if (being_released != nullptr) {
        try {
            being_released->insert(
                being_released->end(), std::make_move_iterator(held.begin()), std::make_move_iterator(held.end()));
        } catch (const std::bad_alloc&) {
            // Without memory for the list `held` is destroyed here, one call deeper.
        }
        return;
    }
    being_released = &held;
    while (!held.empty()) {
        const auto last = std::move(held.back());
        held.pop_back();
    }
    being_released = nullptr;
}

bool is_cancellation(const std::exception_ptr& error) noexcept {
    if (is_a<cancelled_error>(error))
        return true;
    return as_group(error) != nullptr && !is_a<exception_group>(error);
}

} // namespace

group_state::group_state(std::string text, exception_list held)
    : message_(std::move(text)),
      exceptions_(std::move(held)) {
    if (exceptions_.empty())
        throw std::invalid_argument("an exception group must hold at least one exception");
    for (std::size_t i = 0; i != exceptions_.size(); ++i) {
        if (!exceptions_[i])
            throw std::invalid_argument(
                "an exception group cannot hold a null exception_ptr: number " + std::to_string(i) + " is null");
        holds_cancellation_ = holds_cancellation_ || is_cancellation(exceptions_[i]);
    }
}

group_state::~group_state() {
    delete tree_.load(std::memory_order_acquire);
    release(std::move(exceptions_));
}

namespace {

/// Writes a group's members below its message, with lines that show who holds whom.
class tree_writer {
public:
    explicit tree_writer(std::string& out) : out_(out) {}

    void members(const exception_list& exceptions, std::size_t depth) {
        for (std::size_t i = 0; i != exceptions.size(); ++i) {
            if (lines_left_ == 0)
                return;
            member(exceptions[i], i + 1 == exceptions.size(), depth);
        }
    }
    std::size_t shown() const noexcept { return shown_; }

private:
    static constexpr std::size_t max_depth = 32;

    void member(const std::exception_ptr& error, bool is_last, std::size_t depth) {
        --lines_left_;
        const auto outer = indent_.size();
        out_.append("\n").append(indent_).append(is_last ? "`- " : "|- ");
        indent_ += is_last ? "   " : "|  ";
        text(describe_in_lines(error));
        if (const auto* group = as_group(error); group == nullptr)
            ++shown_;
        else if (depth < max_depth)
            members(group->exceptions(), depth + 1);
        indent_.resize(outer);
    }

    void text(std::string_view lines) {
        for (auto end = lines.find('\n'); end != std::string_view::npos; end = lines.find('\n')) {
            out_.append(lines.substr(0, end + 1)).append(indent_);
            lines.remove_prefix(end + 1);
        }
        out_.append(lines);
    }

    std::string& out_;
    std::string indent_;
    std::size_t lines_left_ = 1000;
    std::size_t shown_ = 0;
};

std::string tree_of(const base_exception_group& group) {
    std::string out = printable(group.message());
    const auto count = std::to_string(group.size()) + (group.size() == 1 ? " sub-exception" : " sub-exceptions");
    out += out.empty() ? count : " (" + count + ')';
    tree_writer writer(out);
    writer.members(group.exceptions(), 1);
    if (const auto leaves = group.leaf_count(); leaves != writer.shown())
        out += "\n... and " + std::to_string(leaves - writer.shown()) + " more that are not shown here";
    return out;
}

std::exception_ptr derive_checked(const base_exception_group& group, exception_list exceptions) {
    auto derived = group.derive(std::move(exceptions));
    if (as_group(derived) == nullptr)
        throw std::logic_error("derive() of an exception group must return a group, not " + describe(derived));
    return derived;
}

/// A group on the way down a tree, and what has been found in it so far.
struct split_frame {
    explicit split_frame(const std::exception_ptr& error) : node(&error), group(as_group(error)) {}

    const std::exception_ptr* node;
    const base_exception_group* group;
    std::size_t next = 0;
    exception_list match;
    exception_list rest;

    std::exception_ptr part(exception_list held) const {
        if (held.empty())
            return nullptr;
        if (held == group->exceptions())
            return *node;
        return derive_checked(*group, std::move(held));
    }
};

} // namespace

group_split split_tree(const std::exception_ptr& root, exception_test test, bool want_rest) {
    // A stack of its own, since groups may be nested without limit.
    std::vector<split_frame> stack;
    group_split result;
    // *Returns* whether `result` is known; if not, the node is a group that is now on the stack.
    const auto visit = [&](const std::exception_ptr& node) {
        if (test(node)) {
            result = group_split(node, nullptr);
        } else if (as_group(node) == nullptr) {
            result = group_split(nullptr, want_rest ? node : nullptr);
        } else {
            stack.emplace_back(node);
            return false;
        }
        return true;
    };
    bool done = visit(root);
    while (!stack.empty()) {
        auto& top = stack.back();
        if (done) {
            if (result.match)
                top.match.push_back(std::move(result.match));
            if (result.rest)
                top.rest.push_back(std::move(result.rest));
        }
        if (top.next != top.group->size()) {
            done = visit(top.group->exceptions()[top.next++]);
            continue;
        }
        result = group_split(top.part(std::move(top.match)), top.part(std::move(top.rest)));
        done = true;
        stack.pop_back();
    }
    return result;
}

bool find_leaf(const exception_list& exceptions, exception_test visit) {
    std::vector<std::pair<const exception_list*, std::size_t>> stack{{&exceptions, 0}};
    while (!stack.empty()) {
        auto& [list, next] = stack.back();
        if (next == list->size()) {
            stack.pop_back();
            continue;
        }
        const auto& error = (*list)[next++];
        if (const auto* group = as_group(error))
            stack.emplace_back(&group->exceptions(), 0);
        else if (visit(error))
            return true;
    }
    return false;
}

} // namespace detail

base_exception_group::base_exception_group(std::string message, std::vector<std::exception_ptr> exceptions)
    : state_(std::make_shared<const detail::group_state>(std::move(message), std::move(exceptions))) {}

const std::string& base_exception_group::message() const noexcept { return state_->message(); }

const std::vector<std::exception_ptr>& base_exception_group::exceptions() const noexcept {
    return state_->exceptions();
}

bool base_exception_group::holds_cancellation() const noexcept { return state_->holds_cancellation(); }

const char* base_exception_group::what() const noexcept {
    try {
        return state_->tree([this] { return detail::tree_of(*this); });
    } catch (...) {
        // Without memory for the tree the message must do.
        return state_->message().c_str();
    }
}

std::exception_ptr base_exception_group::derive(std::vector<std::exception_ptr> exceptions) const {
    return make_exception_group(message(), std::move(exceptions));
}

std::vector<std::string> base_exception_group::error_types() const {
    std::vector<std::string> names;
    std::unordered_set<std::type_index> seen;
    for_each_leaf([&](const std::exception_ptr& leaf) {
        const auto* type = detail::dynamic_type(leaf);
        if (seen.insert(type != nullptr ? std::type_index(*type) : std::type_index(typeid(void))).second)
            names.push_back(detail::type_name(leaf));
    });
    return names;
}

std::exception_ptr base_exception_group::pointer() const {
    auto handled = std::current_exception();
    if (as_group(handled) == this)
        return handled;
    return detail::derive_checked(*this, exceptions());
}

exception_group::exception_group(std::string message, std::vector<std::exception_ptr> exceptions)
    : base_exception_group(std::move(message), std::move(exceptions)) {
    if (holds_cancellation())
        throw std::invalid_argument("an exception_group is a std::exception and cannot hold a cancellation: "
                                    "make_exception_group and throw_exception_group choose the right type");
}

std::exception_ptr make_exception_group(std::string message, std::vector<std::exception_ptr> exceptions) {
    const base_exception_group group(std::move(message), std::move(exceptions));
    if (group.holds_cancellation())
        return std::make_exception_ptr(group);
    return std::make_exception_ptr(exception_group(group));
}

void throw_exception_group(std::string message, std::vector<std::exception_ptr> exceptions) {
    std::rethrow_exception(make_exception_group(std::move(message), std::move(exceptions)));
}

} // namespace muster
