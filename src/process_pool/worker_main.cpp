// SPDX-License-Identifier: MIT
// The code that runs in a worker: one thread that reads a call, makes it, and writes the answer. It speaks first only
// when it can't serve, and exits when the pool has closed its end. worker_handle.hpp is the pool's side.
#include "process_pool/worker_main.hpp"

#include "process_pool/registry.hpp"
#include "process_pool/wire.hpp"
#include "process_pool/worker_agent.hpp"

#include <muster/process_pool.hpp>
#include <muster/process_pool/compute_only.hpp>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace muster {

namespace {

std::atomic<bool> served{false}; ///< main called serve_if_worker()

constexpr int socket_of_worker = wire::worker_descriptor;

/// *Returns* false if the pool is gone.
bool receive(std::uint8_t* to, std::size_t count) noexcept {
    while (count != 0) {
        const auto n = ::recv(socket_of_worker, to, count, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        to += n;
        count -= static_cast<std::size_t>(n);
    }
    return true;
}

bool send(const std::uint8_t* from, std::size_t count) noexcept {
    while (count != 0) {
        const auto n = ::send(socket_of_worker, from, count, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        from += n;
        count -= static_cast<std::size_t>(n);
    }
    return true;
}

bool send_message(std::uint64_t number, const nlohmann::json& value) {
    const auto body = wire::write(value);
    const auto head = wire::write(wire::header(static_cast<std::uint32_t>(body.size()), number));
    return send(head.data(), head.size()) && send(body.data(), body.size());
}

/// A message of the pool's, which is trusted. *Returns* false if the pool is gone.
bool receive_message(std::uint64_t& number, nlohmann::json& value) {
    std::array<std::uint8_t, wire::header_bytes> head{};
    if (!receive(head.data(), head.size()))
        return false;
    const auto h = wire::read_header(head.data());
    std::vector<std::uint8_t> body(h.length);
    if (!receive(body.data(), body.size()))
        return false;
    number = h.number;
    value = wire::read(body, wire::no_value_limit);
    return true;
}

bool is_socket(int descriptor) noexcept {
    int type = 0;
    socklen_t size = sizeof type;
    return ::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

[[noreturn]] void leave(const std::string& why) {
    std::fprintf(stderr, "muster worker %d: %s\n", static_cast<int>(::getpid()), why.c_str());
    std::exit(2);
}

/// The pool's options that its workers observe.
struct terms {
    explicit terms(const nlohmann::json& j)
        : message_limit(detail::from_wire<std::uint64_t>(j.at("message_limit"))),
          value_limit(detail::from_wire<std::uint64_t>(j.at("value_limit"))),
          memory_limit(detail::from_wire<std::uint64_t>(j.at("memory_limit"))),
          confined(j.at("compute_only").get<bool>()        ? confinement::compute_only
                   : j.at("no_new_privileges").get<bool>() ? confinement::no_new_privileges
                                                           : confinement::none),
          name(j.at("name").get<std::string>()) {}
    enum class confinement { none, no_new_privileges, compute_only };
    std::uint64_t message_limit;
    std::uint64_t value_limit;
    std::uint64_t memory_limit;
    confinement confined;
    std::string name;
};

void accept(const terms& t) {
    ::prctl(PR_SET_NAME, (t.name.substr(0, 11) + "-wkr").c_str());
    if (t.memory_limit != 0) {
        rlimit limit{};
        limit.rlim_cur = limit.rlim_max = t.memory_limit;
        if (::setrlimit(RLIMIT_AS, &limit) != 0)
            throw std::system_error(errno, std::generic_category(), "the memory limit can't be set");
    }
}

/// The last thing before the worker says that it is ready.
void confine(const terms& t) {
    switch (t.confined) {
    case terms::confinement::none:
        break;
    case terms::confinement::no_new_privileges:
        sandbox::no_new_privileges();
        break;
    case terms::confinement::compute_only:
        sandbox::compute_only();
        break;
    }
}

nlohmann::json answer_to(const nlohmann::json& call) {
    const detail::remote_entry* entry = nullptr;
    try {
        const auto name = call.at("function").get<std::string>();
        entry = registry::find(name);
        if (entry == nullptr)
            throw wire_error("the worker's program has no function '" + name +
                             "': register it there, before serve_if_worker() is called");
        return {{"value", entry->call(*entry, call.at("arguments"))}};
    } catch (...) {
        return registry::describe(std::current_exception(), entry);
    }
}

/// A message that can be sent: what can't is answered with an error.
std::vector<std::uint8_t> written(const nlohmann::json& call, const terms& t) {
    std::string problem;
    try {
        auto body = wire::write(answer_to(call));
        std::fflush(stdout); // what the call printed is out when it is over, whatever becomes of the process
        if (body.size() > t.message_limit)
            problem = "it is " + std::to_string(body.size()) + " bytes long, and the message limit is " +
                      std::to_string(t.message_limit);
        else
            problem = wire::problem_of(body, t.value_limit);
        if (problem.empty())
            return body;
    } catch (const std::exception& e) {
        problem = e.what();
    }
    const wire_error error("the result of '" + call.value("function", "") + "' can't be sent: " + problem);
    return wire::write(registry::describe(std::make_exception_ptr(error), nullptr));
}

[[noreturn]] void serve() {
    std::uint64_t number = 0;
    nlohmann::json message;
    if (!receive_message(number, message))
        std::exit(0);
    if (message.at("muster") != wire::version)
        throw wire_error("the pool speaks another version: build both programs with the same muster");
    if (const auto problem = registry::problem(); !problem.empty())
        throw std::logic_error(problem);
    const terms t(message);
    accept(t);
    confine(t);
    if (!send_message(0, {{"muster", wire::version}}))
        std::exit(0);
    while (receive_message(number, message)) {
        const auto body = written(message, t);
        message = nullptr;
        const auto head = wire::write(wire::header(static_cast<std::uint32_t>(body.size()), number));
        if (!send(head.data(), head.size()) || !send(body.data(), body.size()))
            break;
    }
    std::exit(0);
}

} // namespace

void process_pool::serve_if_worker() {
    served.store(true);
    // A program with more rights than whoever started it (set-uid, capabilities of its file) sees no such variable: it
    // would make the calls of anybody who sets it.
    const char* version = ::secure_getenv(wire::variable);
    if (version == nullptr)
        return;
    const bool is_agent = std::string_view(version) == wire::agent;
    ::unsetenv(wire::variable); // processes that a call starts are none of the pool's
    if (is_agent)
        workers::serve_as_agent(registry::problem());
    if (!is_socket(socket_of_worker))
        leave(std::string(wire::variable) + " is set in the environment, but no pool started this process: unset it");
    ::fcntl(socket_of_worker, F_SETFD, FD_CLOEXEC);
    // The pool's thread started this process. When that ends, the program has died: its workers go, too.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::string problem;
    try {
        serve();
    } catch (const std::exception& e) {
        problem = e.what();
    }
    try {
        static_cast<void>(send_message(0, {{"muster", wire::version}, {"problem", problem}}));
    } catch (const std::exception&) {
        // The pool sees the process end; what() is on standard error.
    }
    leave(problem);
}

std::string workers::unfit_for_a_pool(bool starts_itself) {
    static constexpr const char* call_it =
        "call muster::process_pool::serve_if_worker() as the first thing in the program's main";
    if (!served.load() && ::secure_getenv(wire::variable) != nullptr && is_socket(socket_of_worker)) {
        const std::string problem = std::string("the worker runs a main that makes a pool of its own: ") + call_it;
        static_cast<void>(send_message(0, {{"muster", wire::version}, {"problem", problem}}));
        return problem;
    }
    if (starts_itself && !served.load())
        return std::string("a process_pool starts this program again as its workers: ") + call_it;
    return registry::problem();
}

} // namespace muster
