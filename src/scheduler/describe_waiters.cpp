// SPDX-License-Identifier: MIT
// Describes the tasks that wait, and the waits: for deadlock_error, and for the report of tasks that ignore their
// cancellation.
//
// Each task gets a line, and below it one for each task, future or child that it waits for; children of combinators are
// gone into, tasks and futures are not: a task has a line of its own. So that the text stays readable with 100,000
// children, it ends after some dozens of lines with a count of the rest.
#include "vocabulary/printable.hpp"

#include <muster/detail/scheduler.hpp>
#include <muster/detail/task_state.hpp>

#include <cstddef>
#include <string>
#include <utility>

namespace muster::detail {

namespace {

constexpr std::size_t most_lines = 64;
constexpr std::size_t most_levels = 16;

void add_site(std::string& text, const std::source_location& site) {
    if (site.line() == 0)
        return;
    text += " (created at ";
    text += site.file_name();
    text += ':';
    text += std::to_string(site.line());
    text += ')';
}

class tree final : public wait_lister {
public:
    explicit tree(std::string& text) noexcept : text_(text) {}

    void add_wait(const suspension* wait, bool ready) {
        if (wait == nullptr) {
            text_ += ready ? "is ready to run" : "is not over";
            return;
        }
        text_ += "waits for ";
        text_ += wait->kind_->what;
        if (wait->kind_->list == nullptr)
            return;
        ++level_;
        const auto left_out = std::exchange(left_out_, 0);
        wait->kind_->list(*wait, *this);
        if (left_out_ != 0) {
            begin_line();
            text_ += "and " + std::to_string(left_out_) + " more";
        }
        left_out_ = left_out;
        --level_;
    }

    void child(std::string name, std::source_location site, const fiber* runs, const suspension* waits,
        bool go_into) override {
        if (lines_ >= most_lines || level_ > most_levels) {
            ++left_out_;
            return;
        }
        ++lines_;
        begin_line();
        text_ += '\'' + printable(name, longest_printed_name) + '\'';
        add_site(text_, site);
        text_ += ' ';
        const suspension* const wait = runs != nullptr ? runs->waits_for() : waits;
        if (go_into || wait == nullptr) {
            add_wait(wait, runs != nullptr);
        } else {
            text_ += "waits for ";
            text_ += wait->kind_->what;
        }
    }

private:
    void begin_line() {
        text_ += '\n';
        text_.append(4 * level_, ' ');
    }

    std::string& text_;
    std::size_t level_ = 0;
    std::size_t lines_ = 0;
    std::size_t left_out_ = 0;
};

} // namespace

std::string describe_wait(const fiber& f) {
    std::string text;
    tree(text).add_wait(f.waits_for(), true);
    return text;
}

std::vector<std::string> scheduler::describe_waiters() const {
    std::vector<std::string> lines;
    for (const task_base* t = first_task(); t != nullptr; t = next_task(*t)) {
        std::string line = '\'' + printable(t->name(), longest_printed_name) + '\'';
        add_site(line, t->site());
        line += ' ';
        line += describe_wait(*t);
        lines.push_back(std::move(line));
    }
    return lines;
}

} // namespace muster::detail
