// SPDX-License-Identifier: MIT
// The class admission decides which request of a client may go next, by its limits on connections. Each server has a
// queue of its own; the servers that could let one more request go are in the list `open_`, sorted by how long the
// first one in each queue has waited. enter() takes a ticket from outside to admitted or waiting, admit_next() takes
// the first one of the first open server from waiting to admitted, and leave() puts either outside again. A server is
// taken out of the list before its queue or its count changes, and is sorted in anew afterwards.
#include "admission.hpp"

#include <utility>

namespace muster::http {

bool admission::enter(ticket& t, const std::string& server) {
    MUSTER_ASSERT(t.phase_ == ticket::phase::outside && t.at_ == nullptr);
    if (!has_limits()) {
        t.phase_ = ticket::phase::admitted;
        ++admitted_;
        return true;
    }
    const auto [place, is_new] = hosts_.try_emplace(server);
    host& h = place->second;
    if (is_new)
        h.name = &place->first;
    t.at_ = &h;
    t.arrived_ = ++arrivals_;
    // One that waits already is first: it may only be that it was not told to go yet.
    if (has_room() && has_room(h) && h.queue.empty() && open_.empty()) {
        admit(t);
        return true;
    }
    t.phase_ = ticket::phase::waiting;
    ++waiting_;
    sort_out(h);
    h.queue.push_back(t);
    sort_in(h);
    // It may go all the same, past those to other servers: the caller asks admit_next.
    return false;
}

void admission::admit(ticket& t) noexcept {
    t.phase_ = ticket::phase::admitted;
    ++admitted_;
    if (t.at_ != nullptr)
        ++t.at_->admitted;
}

admission::ticket* admission::admit_next() noexcept {
    if (open_.empty() || !has_room())
        return nullptr;
    host& h = *open_.front();
    open_.remove(h);
    ticket& t = *h.queue.pop_front();
    --waiting_;
    admit(t);
    sort_in(h);
    return &t;
}

void admission::leave(ticket& t) noexcept {
    if (t.phase_ == ticket::phase::outside)
        return;
    host* const h = std::exchange(t.at_, nullptr);
    const bool waited = std::exchange(t.phase_, ticket::phase::outside) == ticket::phase::waiting;
    --(waited ? waiting_ : admitted_);
    if (h == nullptr)
        return;
    sort_out(*h);
    if (waited)
        h->queue.remove(t);
    else
        --h->admitted;
    if (h->queue.empty() && h->admitted == 0)
        hosts_.erase(hosts_.find(*h->name));
    else
        sort_in(*h);
}

void admission::sort_out(host& h) noexcept {
    if (open_.contains(h))
        open_.remove(h);
}

/// Puts the host among the open ones, if it is one.
void admission::sort_in(host& h) noexcept {
    if (h.queue.empty() || !has_room(h))
        return;
    host* after = open_.front();
    while (after != nullptr && after->queue.front()->arrived_ < h.queue.front()->arrived_)
        after = open_.after(*after);
    open_.insert_before(after, h);
}

} // namespace muster::http
