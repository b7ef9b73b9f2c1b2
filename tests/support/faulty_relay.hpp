// SPDX-License-Identifier: MIT
/// A relay between a Unix socket of its own and a server's, with the faults of a network: it cuts connections after so
/// many bytes, wherever that is in the protocol, delays what it passes on, sends what it got to a second connection as
/// well, whose answers nobody gets, or holds everything back for a while.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

/// The orders may be given on any thread.
class faulty_relay {
public:
    struct faults {
        faults() {}
        /// The first connection is cut after so many bytes, each further one after `factor` times as many, so that
        /// something gets done.
        double cut_after = std::numeric_limits<double>::infinity();
        double factor = 1;
        std::chrono::milliseconds delay{0};
        bool duplicates = false;
        /// The relay passes on at most so many bytes a second, in each direction of a connection.
        double rate = std::numeric_limits<double>::infinity();
    };

    explicit faulty_relay(std::string to, faults f = {}) : to_(std::move(to)), faults_(f), delay_(f.delay.count()) {
        auto name = (std::filesystem::temp_directory_path() / "muster-relay-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr)
            throw std::runtime_error("mkdtemp");
        folder_ = name;
        listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const auto address = address_of(folder_ + "/.s.PGSQL.5432");
        if (::pipe2(wake_, O_CLOEXEC) != 0 ||
            ::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
            ::listen(listener_, 64) != 0)
            throw std::runtime_error("the relay can't listen");
        thread_ = std::thread([this] { serve(); });
    }
    ~faulty_relay() {
        tell(order::end);
        thread_.join();
        ::close(wake_[0]);
        ::close(wake_[1]);
        ::close(listener_);
        std::filesystem::remove_all(folder_);
    }
    faulty_relay(const faulty_relay&) = delete;
    faulty_relay& operator=(const faulty_relay&) = delete;

    /// An address for libpq.
    [[nodiscard]] std::string address() const { return "host=" + folder_ + " dbname=postgres user=postgres"; }
    [[nodiscard]] std::size_t cuts() const { return cuts_.load(); }
    /// The bytes of clients that wait here.
    [[nodiscard]] std::size_t held_bytes() const { return held_bytes_.load(); }

    /// From here on nothing that clients send is passed on. What the server has to say still is: a client that waits
    /// for an answer gets it, and its next statement is held.
    void hold() { tell(order::hold); }
    /// The present connections end for the clients; what they have sent stays here, and the server does not know.
    void lose_clients() { tell(order::lose_clients); }
    /// New connections work again; what is held stays so.
    void serve_new_ones() { tell(order::serve_new_ones); }
    /// What comes from here on is passed on so much later.
    void slow_down(std::chrono::milliseconds delay) { delay_ = delay.count(); }
    /// What was held reaches the server; connections without a client end then.
    void let_go() { tell(order::let_go); }

private:
    using clock = std::chrono::steady_clock;
    enum class order : char { end, hold, lose_clients, serve_new_ones, let_go };
    struct chunk {
        std::string bytes;
        clock::time_point due;
    };
    struct pair {
        enum class state : char { open, held };
        int client = -1;
        int server = -1;
        int twin = -1;
        double left = 0; ///< bytes until it is cut
        std::deque<chunk> up;
        std::deque<chunk> down;
        state is = state::open;
    };

    static sockaddr_un address_of(const std::string& path) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        return address;
    }

    void tell(order o) const {
        if (::write(wake_[1], &o, 1) != 1)
            std::abort();
    }

    void serve() {
        for (;;) {
            std::vector<pollfd> watched{{wake_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
            for (const auto& p : pairs_)
                for (const int fd : {p.client, p.server, p.twin})
                    watched.push_back({fd, POLLIN, 0}); // one that is not there is -1, and left out
            ::poll(watched.data(), watched.size(), pause());
            if (watched[0].revents != 0 && !obey())
                break;
            std::vector<pair> kept;
            for (std::size_t i = 0; i != pairs_.size(); ++i) {
                auto& p = pairs_[i];
                const auto* const ready = &watched[2 + 3 * i];
                if (goes_on(p, ready[0].revents != 0, ready[1].revents != 0, ready[2].revents != 0))
                    kept.push_back(std::move(p));
                else
                    close_all(p);
            }
            pairs_ = std::move(kept);
            if (watched[1].revents != 0)
                accept_one();
            std::size_t held = 0;
            for (const auto& p : pairs_)
                for (const auto& c : p.up)
                    held += c.bytes.size();
            held_bytes_ = held;
        }
        for (const auto& p : pairs_)
            close_all(p);
    }

    /// *Returns* false at the end.
    bool obey() {
        order o{};
        if (::read(wake_[0], &o, 1) != 1 || o == order::end)
            return false;
        if (o == order::hold || o == order::serve_new_ones)
            new_ones_ = o == order::hold ? pair::state::held : pair::state::open;
        for (auto& p : pairs_) {
            if (o == order::hold)
                p.is = pair::state::held;
            if (o == order::let_go)
                p.is = pair::state::open;
            if (o == order::lose_clients && p.client >= 0) {
                read_all(p);
                ::close(std::exchange(p.client, -1));
            }
        }
        if (o == order::let_go)
            new_ones_ = pair::state::open;
        return true;
    }

    [[nodiscard]] int pause() const {
        int least = -1;
        for (const auto& p : pairs_)
            for (const auto* all : {&p.up, &p.down})
                if ((p.is == pair::state::open || all == &p.down) && !all->empty()) {
                    const auto left =
                        std::chrono::ceil<std::chrono::milliseconds>(all->front().due - clock::now()).count();
                    const int wait = static_cast<int>(std::max<long>(0, left));
                    least = least < 0 ? wait : std::min(least, wait);
                }
        return least;
    }

    void accept_one() {
        pair made;
        made.client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (made.client < 0)
            return;
        made.left = faults_.cut_after;
        made.is = new_ones_;
        faults_.cut_after *= faults_.factor;
        made.server = connect_one();
        made.twin = faults_.duplicates ? connect_one() : -1;
        if (made.server < 0)
            close_all(made);
        else
            pairs_.push_back(std::move(made));
    }

    [[nodiscard]] int connect_one() const {
        const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const auto address = address_of(to_);
        if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
            return fd;
        ::close(fd);
        return -1;
    }

    bool goes_on(pair& p, bool client_ready, bool server_ready, bool twin_ready) {
        if (client_ready && p.client >= 0 && !take(p.client, p.up))
            return false;
        if (server_ready && !take(p.server, p.down))
            return false;
        if (twin_ready && p.twin >= 0) {
            char answer[4096];
            if (::recv(p.twin, answer, sizeof answer, 0) <= 0)
                ::close(std::exchange(p.twin, -1));
        }
        if (!pass_on(p, p.down, p.client, -1))
            return false;
        if (p.is == pair::state::held)
            return true;
        return pass_on(p, p.up, p.server, p.twin) && (p.client >= 0 || !p.up.empty());
    }

    /// *Returns* false at the end of the connection.
    bool take(int from, std::deque<chunk>& to) const {
        // At a rate the pieces are larger, so that a busy machine, which wakes this thread late, changes it little.
        char bytes[65536];
        const auto got = ::recv(from, bytes, std::isinf(faults_.rate) ? 4096 : sizeof bytes, 0);
        if (got <= 0)
            return false;
        const auto now = clock::now();
        auto due = now + std::chrono::milliseconds(delay_.load());
        if (!std::isinf(faults_.rate))
            due = (to.empty() ? now : std::max(now, to.back().due)) +
                  std::chrono::duration_cast<clock::duration>(
                      std::chrono::duration<double>(static_cast<double>(got) / faults_.rate));
        to.push_back({std::string(bytes, static_cast<std::size_t>(got)), due});
        return true;
    }

    void read_all(pair& p) const {
        pollfd ready{p.client, POLLIN, 0};
        while (::poll(&ready, 1, 0) == 1 && take(p.client, p.up)) {}
    }

    bool pass_on(pair& p, std::deque<chunk>& from, int to, int twin) {
        while (!from.empty() && from.front().due <= clock::now()) {
            const auto bytes = std::move(from.front().bytes);
            from.pop_front();
            const auto most = static_cast<std::size_t>(std::clamp(p.left, 0.0, static_cast<double>(bytes.size())));
            p.left -= static_cast<double>(most);
            if (twin >= 0)
                static_cast<void>(::send(twin, bytes.data(), bytes.size(), MSG_NOSIGNAL));
            if (to >= 0 && most != 0 && ::send(to, bytes.data(), most, MSG_NOSIGNAL) != static_cast<ssize_t>(most))
                return false;
            if (most != bytes.size()) {
                ++cuts_;
                return false;
            }
        }
        return true;
    }

    static void close_all(const pair& p) {
        for (const int fd : {p.client, p.server, p.twin})
            if (fd >= 0)
                ::close(fd);
    }

    std::string to_;
    faults faults_;
    std::string folder_;
    int listener_ = -1;
    int wake_[2] = {-1, -1};
    pair::state new_ones_ = pair::state::open;
    std::vector<pair> pairs_;
    std::atomic<long> delay_{0}; ///< milliseconds
    std::atomic<std::size_t> cuts_{0};
    std::atomic<std::size_t> held_bytes_{0};
    std::thread thread_;
};
