// SPDX-License-Identifier: MIT
// An output_collector takes the pieces of one output of a process and gives them to a sink, keeps them up to a limit,
// or keeps the tail. A tail may grow by its own size, and by 64 KiB at least, before its front is cut off, as each cut
// moves the whole tail; finish() cuts it to size.
#include "subprocess/output_collector.hpp"

#include <muster/subprocess/error.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace muster::detail {

namespace {

/// How much more than the tail is kept at least before the front is cut off.
constexpr std::uint64_t least_cut = std::uint64_t{64} << 10;

} // namespace

void output_collector::take(std::string_view piece) {
    total_ += piece.size();
    if (plan_ == nullptr)
        return;
    if (plan_->sink) {
        plan_->sink(piece);
        return;
    }
    const auto limit = what_->parts().limit;
    if (!what_->parts().keeps_tail) {
        if (piece.size() > limit - kept_.size())
            throw output_limit_error(limit, what_->describe());
        kept_.append(piece);
        return;
    }
    // Cutting off the front moves the whole tail, so it is done once for as many bytes as the tail has.
    kept_.append(piece);
    if (kept_.size() > limit && kept_.size() - limit > std::max(limit, least_cut))
        kept_.erase(0, kept_.size() - static_cast<std::size_t>(limit));
}

std::string output_collector::finish() && {
    if (what_ != nullptr && what_->parts().keeps_tail && kept_.size() > what_->parts().limit)
        kept_.erase(0, kept_.size() - static_cast<std::size_t>(what_->parts().limit));
    return std::move(kept_);
}

} // namespace muster::detail
