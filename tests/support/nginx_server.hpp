// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A private nginx: a folder, ports of loopback and certificates of its own, gone with the object. Tests that need one
/// skip where the machine has none.
///
///     if (!nginx_server::is_installed()) GTEST_SKIP() << nginx_server::how_to_get_it;
///     const nginx_server nginx;
///     fetch(nginx.url("/circle/a"));

#include <muster/testing/faulty_server.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace nginx_test {

/// *Returns* where the program is; empty if there is none.
inline std::string find_program(const std::string& name) {
    const char* path = std::getenv("PATH");
    std::istringstream folders((path != nullptr ? std::string(path) : std::string()) + ":/usr/sbin:/usr/bin");
    for (std::string folder; std::getline(folders, folder, ':');)
        if (const auto file = folder + '/' + name; !folder.empty() && ::access(file.c_str(), X_OK) == 0)
            return file;
    return {};
}

/// Starts a program with its output in a file. It is killed if this thread ends before it does.
inline pid_t start_program(const std::vector<std::string>& words, const std::string& output) {
    std::vector<char*> arguments;
    for (const auto& word : words)
        arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int nothing = ::open("/dev/null", O_RDONLY);
        const int said = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
        ::dup2(nothing, 0);
        ::dup2(said, 1);
        ::dup2(said, 2);
        // Nothing of ours is any of its business.
        ::close_range(3, ~0U, 0);
        ::execv(arguments[0], arguments.data());
        ::_exit(127);
    }
    if (pid < 0)
        throw std::system_error(errno, std::generic_category(), "fork");
    return pid;
}

inline std::string text_of(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

inline bool accepts(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in there{};
    there.sin_family = AF_INET;
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    there.sin_port = htons(port);
    const bool yes = ::connect(fd, reinterpret_cast<const sockaddr*>(&there), sizeof there) == 0;
    ::close(fd);
    return yes;
}

/// Whether there is an ::1 to listen on.
inline bool has_ipv6() {
    const int fd = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in6 here{};
    here.sin6_family = AF_INET6;
    here.sin6_addr = in6addr_loopback;
    const bool yes = fd >= 0 && ::bind(fd, reinterpret_cast<const sockaddr*>(&here), sizeof here) == 0;
    if (fd >= 0)
        ::close(fd);
    return yes;
}

/// A folder for the time being.
class folder {
public:
    folder() {
        path_ = (std::filesystem::temp_directory_path() / "muster-nginx-XXXXXX").string();
        if (::mkdtemp(path_.data()) == nullptr)
            throw std::system_error(errno, std::generic_category(), "mkdtemp");
    }
    ~folder() { std::filesystem::remove_all(path_); }
    folder(const folder&) = delete;
    folder& operator=(const folder&) = delete;
    [[nodiscard]] std::string operator/(std::string_view name) const { return path_ + '/' + std::string(name); }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

private:
    std::string path_;
};

/// A certification authority of our own and what it signs, all made by the openssl program.
class certificates {
public:
    static bool can_be_made() { return !find_program("openssl").empty(); }

    explicit certificates(const folder& in) : in_(&in) {
        make_authority("ca");
        make_authority("other-ca");
        sign("good", "ca", "DNS:localhost,IP:127.0.0.1", "2");
        sign("wrong-name", "ca", "DNS:somebody-else.invalid", "2");
        sign("expired", "ca", "DNS:localhost,IP:127.0.0.1", "-1");
        sign("unknown", "other-ca", "DNS:localhost,IP:127.0.0.1", "2");
    }

private:
    void openssl(std::vector<std::string> words) const {
        words.insert(words.begin(), find_program("openssl"));
        const auto log = *in_ / "openssl.log";
        int status = 0;
        ::waitpid(start_program(words, log), &status, 0);
        if (status != 0)
            throw std::runtime_error("openssl failed: " + text_of(log));
    }
    void make_authority(const std::string& name) const {
        openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=muster test " + name, "-addext", "basicConstraints=critical,CA:TRUE", "-keyout",
            *in_ / (name + ".key"), "-out", *in_ / (name + ".pem")});
    }
    void sign(const std::string& name, const std::string& by, const std::string& names, const std::string& days) const {
        std::ofstream(*in_ / (name + ".ext")) << "subjectAltName=" << names << '\n';
        openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name,
            "-keyout", *in_ / (name + ".key"), "-out", *in_ / (name + ".csr")});
        openssl(
            {"x509", "-req", "-in", *in_ / (name + ".csr"), "-CA", *in_ / (by + ".pem"), "-CAkey", *in_ / (by + ".key"),
                "-CAcreateserial", "-days", days, "-extfile", *in_ / (name + ".ext"), "-out", *in_ / (name + ".pem")});
    }

    const folder* in_;
};

/// Its answers:
///
/// | path | what the client gets |
/// | --- | --- |
/// | `/small` | 200, `small` and a line feed |
/// | `/large` | 200, 4 MB of zero bytes |
/// | `/closing` | as `/small`, and the connection is closed |
/// | `/logged` | 200; it is counted |
/// | `/status/N` | N; 503 with `Retry-After: 0` |
/// | `/circle/a` | a redirect to `/circle/b`, which redirects back |
/// | `/trickle` | 4 MB, at a thousand bytes a second |
/// | `/nothing` | the connection is closed without an answer |
/// | `/gateway/P` | path P of the server behind it, through nginx's proxy |
/// | `/impatient/P` | the same, and after 300 ms without an answer a 504 |
/// | `/gone/P` | the same of a server that nobody runs: 502 |
class nginx_server {
public:
    static constexpr auto how_to_get_it = "there is no nginx here: apt-get install nginx-light";
    static bool is_installed() { return !find_program("nginx").empty(); }

    /// `behind` is the port of the server that it is a gateway to.
    explicit nginx_server(
        std::uint16_t behind = 1, bool with_tls = false, std::size_t requests_by_connection = 1'000'000)
        : behind_(behind),
          with_tls_(with_tls),
          requests_by_connection_(requests_by_connection) {
        if (with_tls)
            const certificates made(folder_);
        std::filesystem::create_directory(folder_ / "www");
        std::ofstream(folder_ / "www/small") << "small\n";
        std::ofstream(folder_ / "www/large");
        std::filesystem::resize_file(folder_ / "www/large", 4'000'000);
        // Somebody else may take a port in the moment between.
        for (int tries = 0; pid_ < 0; ++tries) {
            if (tries == 5)
                throw std::runtime_error("nginx does not start: " + text_of(folder_ / "nginx.log"));
            start();
        }
    }
    ~nginx_server() { stop(SIGKILL); }
    nginx_server(const nginx_server&) = delete;
    nginx_server& operator=(const nginx_server&) = delete;

    /// Ends it by a signal and waits for its end: SIGKILL at once, SIGQUIT after what it is doing at that moment.
    void stop(int signal) {
        if (pid_ < 0)
            return;
        ::kill(pid_, signal);
        ::waitpid(std::exchange(pid_, -1), nullptr, 0);
    }

    enum class tls { good, wrong_name, expired, unknown };
    [[nodiscard]] std::string url(std::string_view path) const { return on(plain, "http://127.0.0.1", path); }
    [[nodiscard]] std::string ipv6_url(std::string_view path) const { return on(ipv6, "http://[::1]", path); }
    [[nodiscard]] std::string tls_url(tls which, std::string_view path) const {
        return on(first_tls + static_cast<std::size_t>(which), "https://127.0.0.1", path);
    }
    /// Speaks HTTP/2, and takes only a few requests on each connection.
    [[nodiscard]] std::string http2_url(std::string_view path) const { return on(http2, "https://127.0.0.1", path); }
    /// Ends nginx. *Returns* the whole log of /logged, a line for each request that it carried out. nginx writes the
    /// line of a request after it has sent the answer, and ends by SIGQUIT without the requests that it has not logged
    /// yet: so it is asked to end once there are as many lines as are `expected`, or after 10 seconds without them.
    [[nodiscard]] std::string end_and_read_log(std::ptrdiff_t expected) {
        for (int i = 0; i != 2000 && lines_of_log() < expected; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        stop(SIGQUIT);
        return text_of(folder_ / "logged");
    }
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    /// Of the authority that signed all but the unknown certificate.
    [[nodiscard]] std::string authority() const { return folder_ / "ca.pem"; }

private:
    [[nodiscard]] std::ptrdiff_t lines_of_log() const {
        const auto text = text_of(folder_ / "logged");
        return std::count(text.begin(), text.end(), '\n');
    }

    static constexpr std::size_t plain = 0;
    static constexpr std::size_t ipv6 = 1;
    static constexpr std::size_t first_tls = 2;
    static constexpr std::size_t http2 = 6;

    [[nodiscard]] std::string on(std::size_t port, const char* host, std::string_view path) const {
        return std::string(host) + ':' + std::to_string(ports_.at(port)) + std::string(path);
    }

    void start() {
        for (auto& port : ports_)
            port = muster::testing::faulty_server::unused_port();
        std::ofstream(folder_ / "nginx.conf") << configuration();
        pid_ = start_program(
            {find_program("nginx"), "-e", folder_ / "nginx.log", "-p", folder_.path(), "-c", folder_ / "nginx.conf"},
            folder_ / "nginx.log");
        for (int i = 0; i != 3000; ++i) {
            if (::waitpid(pid_, nullptr, WNOHANG) != 0) {
                pid_ = -1;
                return;
            }
            // It begins to listen in the order of its configuration.
            if (accepts(ports_[plain]) && (!with_tls_ || accepts(ports_[http2])))
                return;
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        stop(SIGKILL);
    }

    [[nodiscard]] std::string configuration() const {
        const auto port = [this](std::size_t which) { return std::to_string(ports_.at(which)); };
        // One process, in the foreground: one number to kill, and no change of user where it is root's.
        std::string text = "daemon off; master_process off; pid nginx.pid; error_log nginx.log crit;\n"
                           "worker_rlimit_nofile 16384;\n"
                           "events { worker_connections 8192; }\n"
                           "http {\n"
                           "access_log off; sendfile on; tcp_nodelay on; keepalive_requests " +
                           std::to_string(requests_by_connection_) +
                           ";\n"
                           "client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n"
                           "uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n"
                           "ssl_session_cache off;\n";
        text += "server { listen 127.0.0.1:" + port(plain) + " backlog=4096;";
        if (has_ipv6())
            text += " listen [::1]:" + port(ipv6) + " ipv6only=on;";
        text += locations() + "}\n";
        const std::array<const char*, 4> names{"good", "wrong-name", "expired", "unknown"};
        for (std::size_t i = 0; with_tls_ && i != names.size(); ++i)
            text += "server { listen 127.0.0.1:" + port(first_tls + i) + " ssl; ssl_certificate " + names[i] +
                    ".pem; ssl_certificate_key " + names[i] + ".key;" + locations() + "}\n";
        if (with_tls_)
            text += "server { listen 127.0.0.1:" + port(http2) +
                    " ssl http2; keepalive_requests 5; ssl_certificate good.pem; ssl_certificate_key good.key;" +
                    locations() + "}\n";
        return text + "}\n";
    }
    [[nodiscard]] std::string locations() const {
        const std::string nobody = std::to_string(muster::testing::faulty_server::unused_port());
        return "\nroot www; default_type text/plain;\n"
               "location = /closing { keepalive_timeout 0; alias " +
               folder_.path() +
               "/www/small; }\n"
               "location = /trickle { limit_rate 1000; alias " +
               folder_.path() +
               "/www/large; }\n"
               "location = /logged { access_log logged; return 200 done; }\n"
               "location = /status/404 { return 404; }\n"
               "location = /status/500 { return 500; }\n"
               "location = /status/503 { add_header Retry-After 0 always; return 503; }\n"
               "location = /circle/a { return 302 /circle/b; }\n"
               "location = /circle/b { return 302 /circle/a; }\n"
               "location = /nothing { return 444; }\n"
               "location /gateway/ { proxy_pass http://127.0.0.1:" +
               std::to_string(behind_) +
               "/; }\n"
               "location /impatient/ { proxy_read_timeout 300ms; proxy_pass http://127.0.0.1:" +
               std::to_string(behind_) +
               "/; }\n"
               "location /gone/ { proxy_pass http://127.0.0.1:" +
               nobody + "/; }\n";
    }

    std::uint16_t behind_;
    bool with_tls_;
    std::size_t requests_by_connection_;
    folder folder_;
    std::array<std::uint16_t, 7> ports_{};
    pid_t pid_ = -1;
};

} // namespace nginx_test
