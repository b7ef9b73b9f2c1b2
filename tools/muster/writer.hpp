// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The one thread that writes what the command writes: outputs, the log, messages, the ledger and the line that shows
/// progress. The loop hands texts over and never waits for a reader. The rest, which a reader does not take yet, waits
/// in a spool.
///
///     writer out;
///     out.write(STDOUT_FILENO, std::move(output), [](const std::string& problem) { ... });
///     out.show_status("3/10");
///     out.drain();
///
/// Each file that is written to has a queue. Standard output and standard error share one if they are the same pipe or
/// terminal, so that texts come out in the order in which they were given. The thread polls, and writes to a pipe no
/// more than it has room for, so a reader that takes nothing from one file does not delay the texts for the others. The
/// flags of the descriptors stay as they are: other programs share them.
///
/// The status is a few lines at the bottom of the terminal. It is taken away before a text is written there, and put
/// back, in the same write, behind each piece of text that ends its line; behind the beginning of a line it would
/// overwrite that, so it waits.

#include "posix/owned_fd.hpp"
#include "spool.hpp"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace tool {

/// Immovable. *Thread safety*: any thread. One lives at a time.
class writer {
public:
    /// Called on the writer's thread once a text is written, or can't be: `problem` says why, and is empty if it is.
    using done_function = std::function<void(const std::string& problem)>;

    writer();
    /// Gives up what is not written yet.
    ~writer();
    writer(const writer&) = delete;
    writer& operator=(const writer&) = delete;

    /// Where the spools of what is to be written live.
    [[nodiscard]] spool_file& file() noexcept { return file_; }

    /// Hands a text over, to be written to `fd`, which must stay open until the writer is drained. Once writing to a
    /// file has failed, all later texts for it fail in the same way, and nothing more is written.
    void write(int fd, spool text, done_function done = {});
    /// *Errors*: as of spool::append().
    void write(int fd, std::string_view text) { write(fd, spool(file_, text)); }
    /// The same for a text of muster's own: it begins a line, whatever was written before.
    void write_on_new_line(int fd, std::string_view text);

    /// Shows some lines at the bottom of the terminal that standard error is; an empty text takes them away.
    void show_status(std::string lines);
    /// The terminal has shown something by itself, such as the ^C of an interrupt.
    void note_echo();
    /// Takes the status away because this process is about to be stopped, and somebody else will write to the terminal.
    /// Whatever is written afterwards begins below that. Waits a fifth of a second at most.
    void leave_terminal();

    /// Half a text is taken away again when writing to this file fails: a log consists of whole lines.
    void keep_texts_whole(int fd);

    /// From now on it gives up a file whose reader takes nothing for a moment: an interrupt must not wait for it.
    void hurry() noexcept;
    /// Blocks until all is written or given up.
    void drain();
    /// *Returns* why writing to it failed; empty if it did not.
    [[nodiscard]] std::string problem_of(int fd) const;
    /// How many bytes wait: what commands have said so far, and what was handed over and is not written.
    [[nodiscard]] std::uint64_t behind() const noexcept { return file_.held(); }

    /// The writer that lives, or null.
    [[nodiscard]] static writer* current() noexcept { return current_.load(); }

private:
    struct item {
        item(spool t, done_function d, bool on_new_line)
            : text(std::move(t)),
              begins_line(on_new_line),
              done(std::move(d)) {}
        spool text;
        std::uint64_t written = 0;
        bool begins_line;
        done_function done;
    };
    /// The content of the last line of a file. Only the terminal's is ever the status.
    enum class last_line { empty, output, status };
    /// A file that is written to: what waits for it, in order, and why it can't be written to any more.
    struct sink {
        sink(int f, std::uint64_t device, std::uint64_t node) : fd(f), device_number(device), inode(node) {}
        int fd;
        std::uint64_t device_number;
        std::uint64_t inode;
        bool is_regular = false; ///< never has to be waited for
        bool keeps_texts_whole = false;
        int fruitless = 0; ///< writes in a row that were interrupted, because their reader takes nothing
        last_line last = last_line::empty;
        std::deque<item> items;
        std::string problem;
    };
    /// How long a reader may take nothing: as long as it likes; a moment, once there was an interrupt; no time.
    enum class patience { with_readers, for_a_moment, over };

    [[nodiscard]] sink* find_sink(int fd) const;
    sink& sink_of(int fd);
    void enqueue(int fd, spool text, done_function done, bool on_new_line);
    void work();
    [[nodiscard]] bool all_written() const noexcept;
    [[nodiscard]] bool status_is_due() const noexcept;
    /// Writes a piece of the first text. The lock is not held meanwhile.
    void write_piece(std::unique_lock<std::mutex>& lock, sink& s);
    /// *Returns* the problem; empty if the whole text was written, or if the descriptor has no room for the rest
    /// now: `written` counts what was written.
    [[nodiscard]] std::string write_now(sink& s, std::string_view text, std::size_t& written);
    /// One write(), which in a hurry ends after a moment even if the reader takes nothing.
    [[nodiscard]] ssize_t write_or_be_interrupted(int fd, std::string_view text);
    void begin_to_tick();
    void interrupt_write() noexcept;
    /// Ends all texts for this file with the first problem that it had.
    void fail(std::unique_lock<std::mutex>& lock, sink& s, const std::string& problem);
    void draw_status(std::unique_lock<std::mutex>& lock);
    void wake() noexcept;

    spool_file file_;
    /// Guards the members below but wake_, thread_, current_, patience_, needs_interrupt_ and ticks_.
    mutable std::mutex lock_;
    std::condition_variable written_;
    std::vector<std::unique_ptr<sink>> sinks_;
    sink* terminal_ = nullptr; ///< where the status is shown
    std::string status_;
    std::string shown_;   ///< the status that stands there, if its last line is one
    bool echoed_ = false; ///< the terminal has shown something by itself since the last text
    std::atomic<patience> patience_ = patience::with_readers;
    std::atomic<bool> needs_interrupt_ = false; ///< the thread is in a write(), or about to be, and does not tick
    std::optional<timer_t> ticks_;              ///< the thread's own: interrupts it again and again
    muster::detail::owned_fd wake_;             ///< an eventfd
    std::thread thread_;

    static std::atomic<writer*> current_;
};

/// "muster: " and the text, to standard error, by the writer if there is one.
void complain(const std::string& text);

} // namespace tool
