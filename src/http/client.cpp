// SPDX-License-Identifier: MIT
#include <muster/http.hpp>

#include "engine.hpp"
#include "exchange.hpp"

#include <memory>
#include <utility>

namespace muster::http {

namespace {

/// A transfer, for as long as one request needs it.
class lease {
public:
    lease(engine& e, const request& what) : engine_(&e), transfer_(&e.acquire(what)) {}
    ~lease() { engine_->release(*transfer_); }
    lease(const lease&) = delete;
    lease& operator=(const lease&) = delete;

    [[nodiscard]] transfer& operator*() const noexcept { return *transfer_; }
    [[nodiscard]] transfer* operator->() const noexcept { return transfer_; }

private:
    engine* engine_;
    transfer* transfer_;
};

task<response> send_request(std::shared_ptr<engine> by, request what) {
    const lease borrowed(*by, what);
    exchange waiting(*by, *borrowed);
    co_await waiting;
    auto failure = borrowed->take_failure();
    if (failure)
        co_await fail(std::move(failure));
    co_return borrowed->take_answer();
}

} // namespace

client::client(const client_options& options) : engine_(std::make_shared<engine>(options)) {}

client::~client() {
    engine_->close();
}

task<response> client::get(std::string url) {
    return send_request(engine_, request(std::move(url)));
}

task<response> client::send(request what) {
    return send_request(engine_, std::move(what));
}

} // namespace muster::http
