// SPDX-License-Identifier: MIT
// This file is what a program sees of an executor. Everything is done by its client, whose thread lives as long as the
// executor does; the calls share the client, so that they may outlive the executor.
#include "postgres/client.hpp"

#include <muster/error.hpp>
#include <muster/postgres.hpp>

#include <new>
#include <utility>

namespace muster::postgres {

executor::executor(executor_options options) : client_(std::make_shared<client>(std::move(options))) {
    client::start(client_);
}

executor::~executor() {
    if (client_->is_own_thread())
        client_->leave_thread_behind(client_); // a from_json has ended the program
    else
        client_->close(client::intake::stopping);
}

void executor::shutdown() { client_->close(client::intake::draining); }

void executor::stop() { client_->close(client::intake::stopping); }

std::size_t executor::waiting() const noexcept { return client_->waiting(); }

std::size_t executor::submitted() const noexcept { return client_->submitted(); }

void executor::submit(job& j) { client_->submit(client_, j); }

bool executor::withdraw(job& j) noexcept { return client_->withdraw(j); }

void executor::reference::submit(job& j) { client_->submit(client_, j); }

bool executor::reference::withdraw(job& j) noexcept { return client_->withdraw(j); }

void executor::job::ask_to_stop() noexcept {
    if (client_)
        client_->ask_to_stop(*this);
}

} // namespace muster::postgres
