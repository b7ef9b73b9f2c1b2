// SPDX-License-Identifier: MIT
#include <muster/generator.hpp>

#include <muster/as_completed.hpp>
#include <muster/expected.hpp>
#include <muster/gather.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

class generator : public testing::Test {
protected:
    void SetUp() override { frames_before_ = muster::testing::live_frames(); }
    void TearDown() override { EXPECT_EQ(muster::testing::live_frames(), frames_before_); }
    std::int64_t frames_before_ = 0;
};

muster::generator<int> slow_numbers(int n) {
    for (int i = 0; i != n; ++i) {
        co_await muster::sleep_for(10ms);
        co_yield i;
    }
}

muster::generator<std::unique_ptr<int>> boxes_then_failure() {
    co_yield std::make_unique<int>(7);
    throw std::runtime_error("no more boxes");
}

} // namespace

TEST_F(generator, yields_in_order_and_awaits_in_between) {
    muster::testing::manual_loop loop;
    auto body = []() -> muster::task<std::vector<int>> {
        std::vector<int> seen;
        auto numbers = slow_numbers(3);
        while (true) {
            auto n = co_await numbers.next();
            if (!n)
                break;
            seen.push_back(*n);
        }
        auto after_the_end = co_await numbers.next();
        EXPECT_FALSE(after_the_end);
        co_return seen;
    };
    EXPECT_EQ(loop.run(body()), (std::vector<int>{0, 1, 2}));
    EXPECT_EQ(loop.elapsed(), 30ms);
}

TEST_F(generator, gives_its_failure_once_and_then_nothing) {
    muster::testing::manual_loop loop;
    auto body = []() -> muster::task<> {
        auto boxes = boxes_then_failure();
        auto first = co_await boxes.next();
        EXPECT_EQ(**first, 7);
        bool failed = false;
        try {
            auto second = co_await boxes.next();
            ADD_FAILURE() << second.has_value();
        } catch (const std::runtime_error& e) {
            failed = std::string(e.what()) == "no more boxes";
        }
        EXPECT_TRUE(failed);
        auto third = co_await boxes.next();
        EXPECT_FALSE(third);
    };
    loop.run(body());
}

TEST_F(generator, destroyed_before_its_end_destroys_its_locals) {
    muster::testing::manual_loop loop;
    auto body = []() -> muster::task<> {
        auto numbers = slow_numbers(100);
        auto first = co_await numbers.next();
        EXPECT_EQ(*first, 0);
    };
    loop.run(body());
}

TEST_F(generator, is_cancelled_where_it_waits) {
    muster::testing::manual_loop loop;
    auto body = []() -> muster::task<> {
        auto numbers = slow_numbers(100);
        while (true) {
            auto n = co_await numbers.next();
            EXPECT_TRUE(n);
        }
    };
    auto h = loop.start(body());
    loop.advance(25ms);
    h.cancel();
    loop.run_ready();
    EXPECT_TRUE(h.cancelled());
}

TEST_F(generator, is_destroyed_with_its_loop_while_it_waits) {
    int reports = 0;
    const auto before = muster::set_report_handler([&](const muster::report&) { ++reports; });
    {
        muster::testing::manual_loop loop;
        auto body = []() -> muster::task<> {
            auto numbers = slow_numbers(100);
            auto n = co_await numbers.next();
            EXPECT_FALSE(n);
        };
        loop.start(body());
        loop.run_ready();
    }
    EXPECT_EQ(reports, 1);
    muster::set_report_handler(before);
}

TEST_F(generator, for_each_takes_plain_functions_and_coroutines_and_any_source) {
    muster::testing::manual_loop loop;
    int sum = 0;
    auto body = [&]() -> muster::task<> {
        auto numbers = slow_numbers(4);
        co_await muster::for_each(numbers, [&](int n) { sum += n; });
        auto again = slow_numbers(3);
        co_await muster::for_each(again, [&](int n) -> muster::task<> {
            co_await muster::sleep_for(5ms);
            sum += 100 * n;
        });
        std::vector<muster::task_handle<>> handles;
        handles.push_back(muster::create_task([]() -> muster::task<> { co_return; }()));
        muster::as_completed each(handles);
        co_await muster::for_each(each, [&](const muster::task_handle<>& h) { sum += h.done() ? 1000 : 0; });
    };
    loop.run(body());
    EXPECT_EQ(sum, 6 + 300 + 1000);
    EXPECT_EQ(loop.elapsed(), 85ms);
}

namespace {

template <class T>
class maybe {
public:
    explicit maybe(T v) : value_(v), good_(true) {}
    explicit maybe(std::string e) : error_(std::move(e)) {}
    bool has_value() const { return good_; }
    const T& operator*() const { return value_; }
    std::string error() const { return error_; }

private:
    T value_{};
    std::string error_;
    bool good_ = false;
};

muster::task<maybe<int>> parse(bool good) {
    if (good)
        co_return maybe<int>(5);
    co_return maybe<int>(std::string("not a number"));
}

} // namespace

TEST_F(generator, an_expected_counts_as_a_failure_only_when_asked) {
    muster::testing::manual_loop loop;
    auto body = []() -> muster::task<> {
        auto as_it_is = co_await muster::settle(parse(false));
        EXPECT_EQ(as_it_is.succeeded(), 1u);
        auto asked = co_await muster::settle(muster::unwrap(parse(true)), muster::unwrap(parse(false)));
        EXPECT_EQ(asked.succeeded(), 1u);
        EXPECT_EQ(*asked.get<0>(), 5);
        EXPECT_EQ(*asked.get<1>().error_as<std::string>(), "not a number");
    };
    loop.run(body());
}
