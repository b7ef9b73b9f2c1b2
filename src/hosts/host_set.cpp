// SPDX-License-Identifier: MIT
// A host_set counts, for each host, the places that are in use. It is not told that a host was
// lost: the commands that ran there give their places back then, which is when those that wait look again, and no
// command waits for a host that has a free place.
#include <muster/hosts/host_set.hpp>

#include <muster/detail/assert.hpp>
#include <muster/gather.hpp>
#include <muster/map.hpp>
#include <muster/semaphore.hpp>

#include <algorithm>
#include <optional>
#include <system_error>

namespace muster::hosts {

namespace {

/// So many connections are made at the same time: each is a process here, and a login there.
constexpr std::ptrdiff_t most_at_once = 32;

} // namespace

struct host_set::member {
    explicit member(host_options o) : options(std::move(o)), slots(options.slots()) {}
    host_options options;
    std::optional<connection> host;
    std::string why_not; ///< it could not be connected
    std::size_t slots;
    std::size_t used = 0;

    [[nodiscard]] bool is_open() const { return host && host->is_open(); }
};

host_set::place::place(host_set& of, member& m) noexcept : of_(&of), member_(&m) { ++m.used; }

void host_set::place::give_back() noexcept {
    if (member_ == nullptr)
        return;
    MUSTER_ASSERT(member_->used != 0);
    --member_->used;
    of_->changed_.set();
    member_ = nullptr;
}

host_set::place& host_set::place::operator=(place&& other) noexcept {
    if (this != &other) {
        give_back();
        of_ = std::exchange(other.of_, nullptr);
        member_ = std::exchange(other.member_, nullptr);
    }
    return *this;
}

host_set::place::~place() { give_back(); }

connection& host_set::place::host() const {
    MUSTER_ASSERT(member_ != nullptr);
    return *member_->host;
}

host_set::host_set(std::vector<host_options> hosts) {
    if (hosts.empty())
        throw std::invalid_argument("host_set: there are no hosts");
    for (auto& h : hosts)
        members_.push_back(std::make_unique<member>(std::move(h)));
}

host_set::~host_set() = default;

task<> host_set::connect_one(
    std::size_t index, const std::function<void(const std::string&, const std::string&)>& left_out) {
    auto& m = *members_[index];
    auto connecting = hosts::connect(m.options);
    auto connected = co_await as_outcome(std::move(connecting));
    if (connected.succeeded()) {
        m.host.emplace(std::move(connected).value());
        if (m.slots == 0)
            m.slots = m.host->facts().processors;
        co_return;
    }
    const auto error = connected.as_exception();
    const auto* refused = get_if<connect_error>(error);
    const auto* not_spawned = get_if<spawn_error>(error);
    if (refused == nullptr && not_spawned == nullptr)
        connected.rethrow();
    m.why_not = refused != nullptr
                    ? refused->what()
                    : m.options.name() + ": the launcher can't be started on this machine: " + not_spawned->what();
    if (left_out)
        left_out(m.options.name(), m.why_not);
}

task<> host_set::connect(std::function<void(const std::string& host, const std::string& why)> left_out) {
    semaphore places(most_at_once);
    const auto connect_in_turn = [this, &places, &left_out](std::size_t index) -> task<> {
        co_await places.acquire();
        auto connecting = connect_one(index, left_out);
        auto connected = co_await as_outcome(std::move(connecting));
        places.release();
        connected.value();
    };
    std::vector<task<>> all;
    for (std::size_t i = 0; i != members_.size(); ++i)
        all.push_back(connect_in_turn(i));
    co_await gather(std::move(all));
    if (connected() == 0)
        throw_no_host();
}

host_set::member* host_set::best() noexcept {
    member* found = nullptr;
    for (const auto& m : members_) {
        if (!m->is_open() || m->used >= m->slots)
            continue;
        // The smaller quotient, without dividing.
        if (found == nullptr || m->used * found->slots < found->used * m->slots)
            found = m.get();
    }
    return found;
}

void host_set::throw_no_host() const {
    std::string text = "no host is left";
    const char* between = ": ";
    for (const auto& m : members_) {
        text += between;
        text += !m->host ? m->why_not : m->options.name() + ": " + m->host->why_lost();
        between = "; ";
    }
    throw no_host_error(text);
}

task<host_set::place> host_set::acquire() {
    for (;;) {
        if (connected() == 0)
            throw_no_host();
        if (auto* m = best())
            co_return place(*this, *m);
        changed_.clear();
        co_await changed_.wait();
    }
}

std::size_t host_set::slots() const noexcept {
    std::size_t sum = 0;
    for (const auto& m : members_)
        sum += m->is_open() ? m->slots : 0;
    return sum;
}

std::size_t host_set::connected() const noexcept {
    return static_cast<std::size_t>(std::ranges::count_if(members_, [](const auto& m) { return m->is_open(); }));
}

void host_set::kill_all() {
    for (const auto& m : members_) {
        if (m->is_open())
            m->host->kill_all();
    }
}

void host_set::end_launchers() {
    for (const auto& m : members_) {
        if (m->host)
            m->host->end_launcher();
    }
}

task<> host_set::close() {
    std::vector<task<>> all;
    for (const auto& m : members_) {
        if (m->host)
            all.push_back(m->host->close());
    }
    co_await gather(std::move(all));
}

} // namespace muster::hosts
