// SPDX-License-Identifier: MIT
// An answer_reader runs the thread that decodes the answers of a pool's workers. A worker goes through two lists: the
// supervisor puts it on `to_read_`, the thread takes it from there, reads its answer, puts it on `read_`, and wakes
// the supervisor. If the answer can be read, the thread also finishes the call; if it is damaged, the call is left to
// the supervisor.
#include "process_pool/answer_reader.hpp"

#include "process_pool/conclude.hpp"
#include "process_pool/wire.hpp"

#include <muster/detail/assert.hpp>
#include <muster/detail/exception_type.hpp>
#include <muster/process_pool/error.hpp>

#include <pthread.h>

#include <exception>
#include <string>
#include <utility>

namespace muster::workers {

answer_reader::answer_reader(const pool_settings& settings, call_queue& queue)
    : settings_(settings),
      queue_(queue),
      thread_([this] { run(); }) {}

answer_reader::~answer_reader() {
    if (thread_.joinable())
        end();
}

void answer_reader::end() noexcept {
    {
        const std::lock_guard own(lock_);
        MUSTER_ASSERT(to_read_.empty() && read_.empty());
        ending_ = true;
        changed_.notify_one();
    }
    thread_.join();
}

void answer_reader::read(worker_handle& w) noexcept {
    MUSTER_ASSERT(w.now() == worker_handle::phase::decoding);
    const std::lock_guard own(lock_);
    to_read_.push_back(w);
    changed_.notify_one();
}

worker_handle* answer_reader::take_read() noexcept {
    const std::lock_guard own(lock_);
    return read_.pop_front();
}

void answer_reader::run() noexcept {
    queue_.adopt_this_thread();
    ::pthread_setname_np(::pthread_self(), thread_name(settings_.name, "-ans").c_str());
    for (;;) {
        worker_handle* w = nullptr;
        {
            std::unique_lock own(lock_);
            changed_.wait(own, [this] { return ending_ || !to_read_.empty(); });
            w = to_read_.pop_front();
            if (w == nullptr)
                return;
        }
        read_one(*w);
        {
            const std::lock_guard own(lock_);
            read_.push_back(*w);
        }
        const call_queue::held own(queue_);
        queue_.wake(own);
    }
}

void answer_reader::read_one(worker_handle& w) noexcept {
    auto& j = *w.call();
    try {
        // The bytes of the message go before the value is made of them: both may be as large as a message may be.
        auto answer = [&] {
            const auto message = w.take_answer();
            return wire::read(message->body(), settings_.value_limit);
        }();
        conclude_call(j, std::move(answer));
        w.answer_was_read(nullptr);
    } catch (...) {
        w.answer_was_read(std::current_exception());
        return;
    }
    {
        const call_queue::held own(queue_);
        queue_.call_ended(own, j);
    }
    j.finish();
}

} // namespace muster::workers
