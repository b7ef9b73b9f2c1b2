// SPDX-License-Identifier: MIT
#include <muster/executor.hpp>

#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/testing/manual_loop.hpp>

#include <charconv>
#include <cstddef>
#include <deque>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

using muster::testing::live_frames;
using muster::testing::manual_loop;

namespace {

/// A call that can be sent: not a function, but what another process would need to know.
struct square_request {
    explicit square_request(int n) noexcept : number(n) {}
    int number;
};

/// What a cluster would be: calls leave as text, and their answers come back as text, when the test says so.
class wire_executor {
public:
    class job : public muster::executor_job {
    public:
        virtual std::string encode() const = 0;
        virtual void decode(const std::string& answer) = 0;
        virtual ~job() = default;

    protected:
        using executor_job::executor_job;
    };

    template <class F>
    class call;

    void submit(job& j) {
        if (closed_)
            throw std::runtime_error("the line is down");
        waiting_.push_back(&j);
    }
    bool withdraw(job& j) noexcept { return std::erase(waiting_, &j) != 0; }

    /// Sends the oldest call.
    std::string take() {
        sent_.push_back(waiting_.front());
        waiting_.pop_front();
        sent_.back()->begin();
        return sent_.back()->encode();
    }
    void answer(const std::string& text) {
        auto* j = sent_.front();
        sent_.pop_front();
        j->decode(text);
        j->finish();
    }
    void close() {
        closed_ = true;
        while (!waiting_.empty()) {
            auto* j = waiting_.front();
            waiting_.pop_front();
            j->refuse(muster::cancel_reason::shutdown);
        }
    }

private:
    std::deque<job*> waiting_;
    std::deque<job*> sent_;
    bool closed_ = false;
};

int stops_seen = 0;

template <>
class wire_executor::call<square_request> final : public wire_executor::job {
public:
    using result_type = int;
    explicit call(square_request r) : job(result_), request_(r) {}

    muster::outcome<int>& result() noexcept { return result_; }
    square_request callable() && { return request_; }
    void request_stop() noexcept { ++stops_seen; }

    std::string encode() const override { return "square " + std::to_string(request_.number); }
    void decode(const std::string& answer) override {
        int n = 0;
        const auto read = std::from_chars(answer.data(), answer.data() + answer.size(), n);
        if (read.ec == std::errc())
            result_.emplace(n);
        else
            set_error(std::make_exception_ptr(std::runtime_error(answer)));
    }

private:
    muster::outcome<int> result_;
    square_request request_;
};

static_assert(muster::executor<wire_executor>);
static_assert(std::is_same_v<muster::executor_result<wire_executor, square_request>, int>);
static_assert(!muster::executor<std::string>);

} // namespace

TEST(executor, need_not_be_made_of_threads) {
    const auto frames = live_frames();
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        wire_executor far;
        auto h = muster::start_in_executor(far, square_request(7));
        auto fails = muster::start_in_executor(far, square_request(8));
        co_await muster::yield();
        EXPECT_EQ(far.take(), "square 7");
        EXPECT_EQ(far.take(), "square 8");
        far.answer("49");
        far.answer("no such function");
        auto n = co_await h;
        EXPECT_EQ(n, 49);
        std::string what;
        try {
            static_cast<void>(co_await fails);
        } catch (const std::runtime_error& e) {
            what = e.what();
        }
        EXPECT_EQ(what, "no such function");
    }());
    EXPECT_EQ(live_frames(), frames);
}

TEST(executor, calls_are_taken_back_asked_to_stop_and_refused_like_any_others) {
    manual_loop loop;
    loop.run([]() -> muster::task<> {
        wire_executor far;
        auto sent = muster::start_in_executor(far, square_request(1));
        auto waiting = muster::start_in_executor(far, square_request(2));
        auto refused = muster::start_in_executor(far, square_request(3));
        co_await muster::yield();
        static_cast<void>(far.take());
        stops_seen = 0;
        sent.cancel();
        EXPECT_EQ(stops_seen, 1);
        waiting.cancel();
        EXPECT_EQ(stops_seen, 1);
        co_await muster::yield();
        EXPECT_TRUE(waiting.cancelled());
        EXPECT_FALSE(sent.done());
        far.answer("1");
        far.close();
        co_await muster::yield();
        co_await muster::yield();
        EXPECT_TRUE(sent.cancelled());
        EXPECT_EQ(refused.ended_as().reason(), muster::cancel_reason::shutdown);

        bool down = false;
        try {
            static_cast<void>(co_await muster::run_in_executor(far, square_request(4)));
        } catch (const std::runtime_error&) {
            down = true;
        }
        EXPECT_TRUE(down);
    }());
}

TEST(executor, a_call_left_behind_may_be_answered_after_its_loop_has_ended) {
    wire_executor far;
    muster::run([](wire_executor& ex) -> muster::task<> {
        auto h = muster::create_task([](wire_executor& on) -> muster::task<> {
            auto call = muster::run_in_executor(on, square_request(5)).abandon();
            static_cast<void>(co_await call);
        }(ex));
        co_await muster::yield();
        static_cast<void>(ex.take());
        h.cancel();
        co_await muster::yield();
        EXPECT_TRUE(h.cancelled());
    }(far));
    far.answer("25");
}
