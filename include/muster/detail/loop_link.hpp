// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The link from tasks and futures to their loop. It outlives the loop, and knows whether that still exists, and its
/// mailbox.
///
///     if (scheduler* loop = link.loop()) loop->post(call);

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>
#include <muster/detail/loop_thread.hpp>
#include <muster/detail/mailbox.hpp>

#include <cstdint>
#include <memory>
#include <utility>

namespace muster::detail {

class scheduler;

/// Owned by count: by the loop, and by each of its tasks and futures. *Thread safety*: the loop's thread.
class loop_link {
public:
    /// The loop is the first owner.
    loop_link(scheduler& loop, loop_id id, std::shared_ptr<mailbox> inbox) noexcept
        : loop_(&loop),
          id_(id),
          inbox_(std::move(inbox)) {}
    loop_link(const loop_link&) = delete;
    loop_link& operator=(const loop_link&) = delete;

    /// Null once the loop has ended.
    [[nodiscard]] scheduler* loop() const noexcept { return loop_; }
    [[nodiscard]] loop_id id() const noexcept { return id_; }
    [[nodiscard]] mailbox& inbox() const noexcept { return *inbox_; }

    void retain() noexcept {
        MUSTER_ASSERT(owners_ != 0);
        ++owners_;
    }
    void release() noexcept {
        // The loop itself releases the link first after it has ended: what it held for others is given back then.
        if (loop_ == nullptr) [[unlikely]]
            inbox_->give_back_all();
        if (--owners_ == 0)
            delete this;
    }
    /// The loop ends, and is an owner no more.
    void loop_ended() noexcept {
        MUSTER_ASSERT(loop_ != nullptr);
        loop_ = nullptr;
        release();
    }

private:
    ~loop_link() = default;

    scheduler* loop_;
    loop_id id_;
    std::shared_ptr<mailbox> inbox_;
    std::uint32_t owners_ = 1;
};

} // namespace muster::detail
