// SPDX-License-Identifier: MIT
// This file puts together the text of a worker_died_error. The name of a host came from its worker, and is made safe to
// print.
#include <muster/postgres/error.hpp>

#include "vocabulary/printable.hpp"

#include <utility>

namespace muster::postgres {

namespace {

std::string sentence(const std::string& host, int process, worker_died_error::sign how) {
    std::string text = "the worker of this call, process " + std::to_string(process) + " on " +
                       detail::printable(host, detail::longest_printed_name);
    switch (how) {
    case worker_died_error::sign::session:
        return text + ", died: its session ended";
    case worker_died_error::sign::lease:
        return text + ", was silent for longer than its lease";
    case worker_died_error::sign::left:
        break;
    }
    return text + ", was told to end and did not wait for it";
}

} // namespace

worker_died_error::worker_died_error(std::string host, int process, sign how)
    : queue_error(sentence(host, process, how)),
      host_(std::make_shared<const std::string>(std::move(host))),
      process_(process),
      how_(how) {}

} // namespace muster::postgres
