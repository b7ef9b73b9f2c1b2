// SPDX-License-Identifier: MIT
#include "subprocess/watch.hpp"

#include <uv.h>

#include <cerrno>
#include <new>
#include <utility>

namespace muster::detail {

std::error_code watch::start(event_loop& loop, int fd, interest what, ready_function ready, void* context) noexcept {
    auto* poll = new (std::nothrow) uv_poll_t;
    if (poll == nullptr)
        return {ENOMEM, std::generic_category()};
    if (const int status = uv_poll_init(static_cast<uv_loop_t*>(loop.native()), poll, fd); status < 0) {
        delete poll;
        return {-status, std::generic_category()};
    }
    poll_ = poll;
    poll_->data = this;
    ready_ = ready;
    context_ = context;
    const auto told = [](uv_poll_t* p, int, int) {
        auto& self = *static_cast<watch*>(p->data);
        self.ready_(self.context_);
    };
    if (const int status = uv_poll_start(poll_, what == readable ? UV_READABLE : UV_WRITABLE, told); status < 0) {
        stop();
        return {-status, std::generic_category()};
    }
    return {};
}

void watch::stop() noexcept {
    if (poll_ == nullptr)
        return;
    uv_close(reinterpret_cast<uv_handle_t*>(std::exchange(poll_, nullptr)),
        [](uv_handle_t* h) { delete reinterpret_cast<uv_poll_t*>(h); });
}

} // namespace muster::detail
