// SPDX-License-Identifier: MIT
#include "faults/random_programs/program.hpp"

#include <algorithm>
#include <array>
#include <iterator>

namespace random_programs {

namespace {

class dice {
public:
    explicit dice(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {
        state_ += 0x9e3779b97f4a7c15u;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    int below(int n) { return static_cast<int>(next() % static_cast<std::uint64_t>(n)); }
    int time() {
        constexpr std::array times{-1, 0, 1, 1, 2, 2, 3, 5, 8};
        return times[static_cast<std::size_t>(below(static_cast<int>(times.size())))];
    }

private:
    std::uint64_t state_;
};

constexpr op leaves[] = {op::value, op::value, op::value, op::value, op::fail, op::fail, op::fail, op::fail_quietly,
    op::stubborn, op::tidy, op::tidy, op::raise_cancel, op::cancel_self, op::cancel_task, op::event_set, op::event_wait,
    op::put, op::get, op::notify, op::condition_wait, op::barrier_wait, op::future_wait};
constexpr op around_one[] = {op::attempt, op::attempt, op::wait_for, op::timeout, op::shield, op::started_shield,
    op::hold, op::spawn_await, op::spawn_drop, op::mutex, op::semaphore};
constexpr op around_some[] = {op::sequence, op::sequence, op::cleanup, op::gather, op::gather, op::finish, op::leave,
    op::settle, op::settle_two, op::race, op::quorum, op::map, op::map_settle, op::stream, op::summarize, op::group,
    op::group, op::wait, op::as_completed, op::started, op::generator};

node make(dice& d, int depth, int& budget) {
    --budget;
    const int kind = d.below(10);
    node n;
    if (depth == 0 || budget <= 0 || kind < 2) {
        n.what = leaves[d.below(static_cast<int>(std::size(leaves)))];
        if (d.below(300) == 0)
            n.what = op::deaf;
    } else if (kind < 5) {
        n.what = around_one[d.below(static_cast<int>(std::size(around_one)))];
    } else {
        n.what = around_some[d.below(static_cast<int>(std::size(around_some)))];
    }
    n.a = d.time();
    n.b = d.below(256);
    n.c = d.below(12);
    int kids = 0;
    // Each roll is a statement of its own: the order of the operands is the compiler's.
    const int some = d.below(4);
    const int one_more = d.below(12) != 0;
    if (n.what >= op::sequence)
        kids = n.what == op::cleanup || n.what == op::settle_two ? 2 : some + one_more;
    else if (n.what >= op::attempt)
        kids = 1;
    for (int i = 0; i != kids; ++i)
        n.kids.push_back(make(d, depth - 1, budget));
    return n;
}

void print(const node& n, int indent, std::string& out) {
    out.append(static_cast<std::size_t>(indent) * 2, ' ');
    out += name_of(n.what);
    out += ' ' + std::to_string(n.a) + ' ' + std::to_string(n.b) + ' ' + std::to_string(n.c) + '\n';
    for (const auto& kid : n.kids)
        print(kid, indent + 1, out);
}

void collect(node& n, std::vector<node*>& all) {
    all.push_back(&n);
    for (auto& kid : n.kids)
        collect(kid, all);
}

} // namespace

const char* name_of(op o) {
    constexpr const char* names[] = {"value", "fail", "fail_quietly", "stubborn", "tidy", "raise_cancel", "cancel_self",
        "cancel_task", "deaf", "event_set", "event_wait", "put", "get", "notify", "condition_wait", "barrier_wait",
        "future_wait", "attempt", "wait_for", "timeout", "shield", "started_shield", "hold", "spawn_await",
        "spawn_drop", "mutex", "semaphore", "sequence", "cleanup", "gather", "finish", "leave", "settle", "settle_two",
        "race", "quorum", "map", "map_settle", "stream", "summarize", "group", "wait", "as_completed", "started",
        "generator"};
    static_assert(std::size(names) == static_cast<std::size_t>(op::count));
    return names[static_cast<std::size_t>(o)];
}

program generate(std::uint64_t seed) {
    dice d(seed * 0x2545f4914f6cdd1du + 1);
    program p;
    do {
        int budget = 4 + d.below(28);
        p.root = make(d, 5, budget);
    } while (p.root.kids.empty());
    for (int i = d.below(4); i != 0; --i) {
        const int when = d.below(10);
        const bool main = d.below(3) == 0;
        const int whom = d.below(8);
        p.cancels.emplace_back(when, main ? 0 : whom);
    }
    const bool in_order = d.below(3) == 0;
    const auto order = d.next() | 1;
    p.shuffle = in_order ? 0 : order;
    return p;
}

std::size_t size_of(const node& n) {
    std::size_t size = 1;
    for (const auto& kid : n.kids)
        size += size_of(kid);
    return size;
}

std::string to_string(const program& p) {
    std::string text;
    print(p.root, 0, text);
    for (const auto& c : p.cancels)
        text += "cancel task " + std::to_string(c.target) + " at " + std::to_string(c.at) + " ms\n";
    if (p.shuffle != 0)
        text += "order of what is ready: seed " + std::to_string(p.shuffle) + '\n';
    return text;
}

std::vector<program> smaller(const program& p) {
    std::vector<program> all;
    program copy = p;
    std::vector<node*> nodes;
    collect(copy.root, nodes);
    const std::size_t count = nodes.size();
    const auto with = [&](auto change) {
        for (std::size_t i = 0; i != count; ++i) {
            program next = p;
            std::vector<node*> places;
            collect(next.root, places);
            change(*places[i], next);
        }
    };
    // A node becomes one of its kids; a leaf; loses a kid.
    with([&](node& n, program& next) {
        for (std::size_t k = 0; k != n.kids.size(); ++k) {
            const node before = n;
            n = node(before.kids[k]);
            all.push_back(next);
            n = before;
        }
    });
    with([&](node& n, program& next) {
        if (n.what != op::value || !n.kids.empty()) {
            n = node();
            all.push_back(next);
        }
    });
    with([&](node& n, program& next) {
        for (std::size_t k = 0; k != n.kids.size(); ++k) {
            const node before = n;
            n.kids.erase(n.kids.begin() + static_cast<std::ptrdiff_t>(k));
            all.push_back(next);
            n = before;
        }
    });
    for (std::size_t i = 0; i != p.cancels.size(); ++i) {
        program next = p;
        next.cancels.erase(next.cancels.begin() + static_cast<std::ptrdiff_t>(i));
        all.push_back(next);
    }
    if (p.shuffle != 0) {
        program next = p;
        next.shuffle = 0;
        all.push_back(next);
    }
    with([&](node& n, program& next) {
        for (int node::*number : {&node::a, &node::b, &node::c}) {
            const int before = n.*number;
            for (const int less : {0, before / 2, before & (before - 1)}) {
                if (less == before || before <= 0)
                    continue;
                n.*number = less;
                all.push_back(next);
            }
            n.*number = before;
        }
    });
    return all;
}

} // namespace random_programs
