// SPDX-License-Identifier: MIT
/// A relay between a Unix socket of its own and another one that cuts each connection after so many bytes, wherever
/// that is in the protocol. Each connection lasts for a little more than the one before it, so that something gets
/// done.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

class cutting_proxy {
public:
    /// The first connection is cut after `bytes`, each further one after `factor` times as many.
    cutting_proxy(std::string to, double bytes, double factor) : to_(std::move(to)), bytes_(bytes), factor_(factor) {
        auto name = (std::filesystem::temp_directory_path() / "muster-proxy-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr)
            throw std::runtime_error("mkdtemp");
        folder_ = name;
        listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const auto address = address_of(folder_ + "/.s.PGSQL.5432");
        if (::pipe(end_) != 0 || ::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
            ::listen(listener_, 16) != 0)
            throw std::runtime_error("the proxy can't listen");
        thread_ = std::thread([this] { serve(); });
    }
    ~cutting_proxy() {
        ::close(end_[1]);
        thread_.join();
        ::close(end_[0]);
        ::close(listener_);
        std::filesystem::remove_all(folder_);
    }
    cutting_proxy(const cutting_proxy&) = delete;
    cutting_proxy& operator=(const cutting_proxy&) = delete;

    [[nodiscard]] const std::string& folder() const { return folder_; }
    [[nodiscard]] std::size_t cuts() const { return cuts_.load(); }

private:
    struct pair {
        int client;
        int server;
        double left; ///< bytes
    };

    static sockaddr_un address_of(const std::string& path) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        return address;
    }

    void serve() {
        std::vector<pair> pairs;
        for (;;) {
            std::vector<pollfd> watched{{end_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
            for (const auto& p : pairs) {
                watched.push_back({p.client, POLLIN, 0});
                watched.push_back({p.server, POLLIN, 0});
            }
            ::poll(watched.data(), watched.size(), -1);
            if (watched[0].revents != 0)
                break;
            std::vector<pair> kept;
            for (std::size_t i = 0; i != pairs.size(); ++i) {
                auto& p = pairs[i];
                const bool goes_on = (watched[2 + 2 * i].revents == 0 || pass_on(p.client, p.server, p.left)) &&
                                     (watched[3 + 2 * i].revents == 0 || pass_on(p.server, p.client, p.left));
                if (goes_on)
                    kept.push_back(p);
                else
                    close_both(p);
            }
            pairs = std::move(kept);
            if (watched[1].revents != 0)
                accept_one(pairs);
        }
        for (const auto& p : pairs)
            close_both(p);
    }

    void accept_one(std::vector<pair>& pairs) {
        const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0)
            return;
        const int server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const auto address = address_of(to_);
        const pair made{client, server, bytes_};
        bytes_ *= factor_;
        if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            close_both(made);
        else
            pairs.push_back(made);
    }

    bool pass_on(int from, int to, double& left) {
        char bytes[4096];
        const auto got = ::recv(from, bytes, sizeof bytes, 0);
        if (got <= 0)
            return false;
        const auto most = static_cast<std::size_t>(left < 0 ? 0 : left);
        const auto sent = std::min(static_cast<std::size_t>(got), most);
        if (sent != 0 && ::send(to, bytes, sent, MSG_NOSIGNAL) != static_cast<ssize_t>(sent))
            return false;
        left -= static_cast<double>(sent);
        if (sent == static_cast<std::size_t>(got))
            return true;
        ++cuts_;
        return false;
    }

    static void close_both(const pair& p) {
        ::close(p.client);
        ::close(p.server);
    }

    std::string to_;
    double bytes_;
    double factor_;
    std::string folder_;
    int listener_ = -1;
    int end_[2] = {-1, -1};
    std::atomic<std::size_t> cuts_{0};
    std::thread thread_;
};
