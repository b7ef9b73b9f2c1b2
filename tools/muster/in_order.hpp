// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// --keep-order: things that come in any order, and are given out in that of their indexes.
///
///     in_order<output> outputs;
///     outputs.add(1, second);
///     outputs.add(0, first);
///     outputs.give([](output&& o) { print(std::move(o)); });

#include <cstdint>
#include <map>
#include <set>
#include <utility>

namespace tool {

/// *Complexity*: memory for what has come before its turn. *Thread safety*: one thread.
template <class T>
class in_order {
public:
    void add(std::uint64_t index, T thing) { held_.try_emplace(index, std::move(thing)); }
    /// Nothing comes with that index.
    void pass_over(std::uint64_t index) { passed_over_.insert(index); }
    /// Gives out what is due.
    template <class Call>
    void give(Call call) {
        for (;; ++next_) {
            if (passed_over_.erase(next_) != 0)
                continue;
            auto held = held_.extract(next_);
            if (held.empty())
                return;
            call(std::move(held.mapped()));
        }
    }

private:
    std::map<std::uint64_t, T> held_;
    std::set<std::uint64_t> passed_over_;
    std::uint64_t next_ = 0;
};

} // namespace tool
