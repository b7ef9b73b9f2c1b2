// SPDX-License-Identifier: MIT
// This file says what to write to those who are used to other programs. Its two tables name the options of those
// programs that muster does not have, each with what does the same here. Its functions recognize forms of words that
// only those programs understand, such as lists and ranges within a URL.
#include "advice.hpp"

#include <algorithm>
#include <span>

namespace tool {

namespace {

struct row {
    std::string_view letter; ///< "-r", or empty
    std::string_view name;   ///< "--no-run-if-empty", or empty
    std::string_view advice;
};

constexpr row for_run[] = {
    {"-r", "--no-run-if-empty", "without inputs nothing runs in any case"},
    {"-L", "--max-lines", "each line is an input: write -n N"},
    {"-i", "--replace", "{} stands for the input; another word does with -I WORD"},
    {"-s", "--max-chars", "-X gives a command as many inputs as fit, -n N at most N"},
    {"-x", "--exit", "a command that does not fit is a failure of its own in any case"},
    {"-m", "", "write -X for as many inputs as fit, or -n N"},
    {"-o", "--open-tty", "write --tty: one command at a time reads the terminal"},
    {"-p", "--interactive", "it never asks; --dry-run shows what would run"},
    {"-v", "", "write --trace"},
    {"-E", "--eof", "all inputs are read: end the list there, with sed '/^END$/,$d' for example"},
    {"-e", "", "all inputs are read: end the list there, with sed '/^END$/,$d' for example"},
    {"-l", "", "each line is an input: write -n N"},
    {"-S", "--sshlogin", "write --on HOSTS"},
    {"", "--sshloginfile", "write --on-file FILE"},
    {"", "--slf", "write --on-file FILE"},
    {"", "--onall", "--on gives each command to one of the hosts; ::: with the names of hosts is for all of them"},
    {"", "--nonall", "--on gives each command to one of the hosts; ::: with the names of hosts is for all of them"},
    {"", "--basefile", "write --transferfile FILE, which sends it before each command"},
    {"-q", "--quote", "words of a template are never read by a shell again"},
    {"", "--will-cite", "leave it out"},
    {"", "--citation", "leave it out"},
    {"", "--no-notice", "leave it out"},
    {"", "--gnu", "leave it out"},
    {"", "--color", "--tag and --tagstring say which command a line is of"},
    {"", "--ctag", "write --tag"},
    {"", "--ctagstring", "write --tagstring TEMPLATE"},
    {"", "--rpl", "a template for a shell can change the text: 'x={}; echo ${x%.*}'"},
    {"", "--arg-sep", "inputs stand behind :::"},
    {"", "--arg-file-sep", "files of inputs stand behind ::::"},
    {"", "--process-slot-var", "{%} is the place that a command runs in: 'SLOT={%}; ...'"},
    {"", "--number-of-cpus", "nproc prints that"},
    {"", "--number-of-cores", "nproc prints that"},
    {"", "--number-of-threads", "nproc prints that"},
    {"", "--show-limits", "'getconf ARG_MAX' prints how long a command may be; -X keeps to that"},
    {"", "--fg", "flock(1) is for that"},
    {"", "--bg", "flock(1) is for that"},
    {"", "--id", "flock(1) is for that"},
    {"", "--tmux", "write --tty, for one command at a time that has the terminal"},
    {"", "--noswap", "write --min-memory SIZE"},
    {"", "--memsuspend", "write --min-memory SIZE"},
    {"", "--termseq", "--grace says how long there is between SIGTERM and SIGKILL"},
    {"", "--outputasfiles", "write --results DIR"},
    {"", "--skip-first-line", "give the lines through 'tail -n +2'"},
    {"", "--sqlandworker", "the log is --jsonl FILE"},
    {"", "--sqlmaster", "the log is --jsonl FILE"},
    {"", "--sqlworker", "the log is --jsonl FILE"},
    {"", "--profile", "a function or an alias of the shell can hold options"},
    {"", "--shuf", "give the inputs through shuf"},
    {"", "--eta", "the progress shows the time that is left; --progress does where there is no terminal"},
    {"", "--group", "leave it out: outputs are printed in one piece each unless there is -u or --line-buffer"},
    {"", "--files", "write --results DIR"},
    {"", "--pipepart", "write --pipe -f FILE"},
    {"", "--round-robin", "--pipe gives each block to a command of its own"},
    {"", "--roundrobin", "--pipe gives each block to a command of its own"},
    {"", "--recstart", "--pipe gives whole lines; -0 or -d C has records end with another character"},
    {"", "--recend", "--pipe gives whole lines; -0 or -d C has records end with another character"},
    {"", "--regexp", "--pipe gives whole lines; -0 or -d C has records end with another character"},
    {"", "--cat", "--pipe gives the block on standard input: begin the template with 'cat > FILE;'"},
    {"", "--fifo", "--pipe gives the block on standard input"},
    {"", "--tee", "--stdin-from FILE gives each command the whole file"},
    {"", "--tmpdir", "set TMPDIR"},
    {"", "--env", "commands get the whole environment; functions with --shell bash and export -f"},
    {"", "--retry-failed", "write --resume, which runs what failed again, and give the same template and inputs"},
    {"", "--resume-failed", "write --resume, which runs what failed again"},
    {"", "--semaphore", "flock(1) is for that"},
    {"", "--trim", "inputs are taken as they are; a file's lines may go through sed before"},
    {"", "--plus", "there are {.} {/} {//} {/.} {#} {%} {1} and names"},
};

constexpr row for_fetch[] = {
    {"-L", "--location", "redirects are followed in any case, up to --max-redirects"},
    {"-S", "--show-error", "failures are in the ledger in any case"},
    {"-Z", "--parallel", "it is in any case: -j N says how many at once"},
    {"-I", "--head", "write -X HEAD"},
    {"-i", "--include", "status, time and size of each answer are in the log: --jsonl FILE"},
    {"-w", "--write-out", "status, time and size of each answer are in the log: --jsonl FILE"},
    {"-D", "--dump-header", "status, time and size of each answer are in the log: --jsonl FILE"},
    {"-b", "--cookie", "write -H 'Cookie: NAME=VALUE', or --cookie-jar FILE"},
    {"-e", "--referer", "write -H 'Referer: URL'"},
    {"-T", "--upload-file", "write -X PUT --data-file FILE"},
    {"-G", "--get", "put the data into the URL: 'https://host/?q={}' encodes the inputs"},
    {"-F", "--form", "it sends no forms with files"},
    {"-C", "--continue-at", "write --continue"},
    {"-N", "--timestamping", "write --if-modified"},
    {"-P", "--directory-prefix", "write -o DIR"},
    {"-U", "", "write -A NAME"},
    {"-t", "--tries", "write --retries N, for so many attempts after the first"},
    {"-n", "", "write --netrc"},
    {"-v", "--verbose", "what became of each URL is in the ledger and in the log: --jsonl FILE"},
    {"-4", "--ipv4", "it takes the addresses that the system prefers"},
    {"-6", "--ipv6", "it takes the addresses that the system prefers"},
    {"", "--fail", "a status of 400 or more is a failure in any case"},
    {"", "--input-file", "write -f FILE"},
    {"", "--no-clobber", "write --skip-existing"},
    {"", "--no-check-certificate", "write --insecure, and read what it says"},
    {"", "--content-disposition", "write -O"},
    {"", "--create-dirs", "-o DIR makes the folder in any case"},
    {"", "--json", "write -d DATA -H 'Content-Type: application/json'"},
    {"", "--data-raw", "write -d"},
    {"", "--retry-delay", "pauses grow by themselves and follow the server's Retry-After"},
    {"", "--http1.1", "write --http 1.1"},
    {"", "--http2", "write --http 2"},
    {"", "--http1.0", "write --http 1.0"},
    {"", "--digest", "put the digest into the list: URL, tabulator, name, tabulator, sha256:..."},
    {"-r", "--recursive", "it follows no links, and gets whole bodies: give it the URLs"},
    {"", "--range", "it gets whole bodies; -H 'Range: bytes=0-99' asks for a part"},
    {"", "--mirror", "it follows no links: give it the URLs; --if-modified gets only what has changed"},
    {"-p", "--page-requisites", "it follows no links: give it the URLs"},
    {"", "--spider", "write -X HEAD"},
    {"-K", "", "write --config FILE, in which there are options such as limit = 100"},
    {"", "--url", "URLs stand by themselves, or in a file: -f FILE"},
    {"-J", "", "-O takes the server's name in any case"},
    {"-g", "--globoff", "brackets and braces stand for themselves in any case, all but {} and {#} of a template"},
    {"-#", "--progress-bar", "write --bar"},
    {"", "--no-progress-meter", "write --no-progress"},
    {"", "--fail-early", "write --fail-fast"},
    {"", "--fail-with-body", "a status of 400 or more is a failure in any case"},
    {"-R", "--remote-time", "--if-modified gives files the server's time"},
    {"-z", "--time-cond", "write --if-modified, or -H 'If-Modified-Since: ...'"},
    {"-y", "--speed-time", "write --stall-timeout SIZE/TIME"},
    {"-Y", "--speed-limit", "write --stall-timeout SIZE/TIME"},
    {"", "--read-timeout", "write --stall-timeout TIME"},
    {"", "--dns-timeout", "write --connect-timeout TIME"},
    {"", "--retry-all-errors", "what may be better the next time is tried again in any case"},
    {"", "--retry-connrefused", "what may be better the next time is tried again in any case"},
    {"", "--retry-max-time", "write --deadline TIME, which is for everything"},
    {"", "--waitretry", "pauses grow by themselves and follow the server's Retry-After"},
    {"", "--wait", "write --delay TIME, or --per-host-rate N"},
    {"", "--random-wait", "write --delay TIME, or --per-host-rate N"},
    {"-Q", "--quota", "--max-size is for each body"},
    {"", "--data-urlencode", "encode the data before, or put it into the URL: 'https://host/?q={}' encodes the inputs"},
    {"", "--data-ascii", "write -d"},
    {"", "--post-data", "write -d DATA"},
    {"", "--post-file", "write --data-file FILE"},
    {"", "--body-data", "write -d DATA"},
    {"", "--body-file", "write --data-file FILE"},
    {"", "--load-cookies", "write --cookie-jar FILE"},
    {"", "--save-cookies", "write --cookie-jar FILE"},
    {"", "--http-user", "write -u NAME:PASSWORD"},
    {"", "--http-password", "write -u NAME:PASSWORD"},
    {"", "--oauth2-bearer", "write -H 'Authorization: Bearer TOKEN', or -H @FILE"},
    {"", "--basic", "leave it out: -u is for basic authentication"},
    {"", "--ca-certificate", "write --cacert FILE"},
    {"", "--certificate", "write --cert FILE"},
    {"", "--private-key", "write --key FILE"},
    {"", "--tlsv1.2", "leave it out: older protocols than TLS 1.2 are not spoken"},
    {"", "--resolve", "addresses are the system's: /etc/hosts can say others"},
    {"", "--connect-to", "addresses are the system's: /etc/hosts can say others"},
    {"", "--interface", "the system chooses the address that it comes from"},
    {"", "--bind-address", "the system chooses the address that it comes from"},
    {"", "--unix-socket", "it connects by TCP only"},
    {"", "--max-concurrent-downloads", "write -j N"},
    {"", "--max-connection-per-server", "write --per-host N"},
    {"", "--split", "each body comes over one connection"},
    {"", "--checksum", "put the digest into the list: URL, tabulator, name, tabulator, sha256:..."},
    {"", "--out", "put the name into the list: URL, tabulator, name"},
    {"", "--output-document", "write -o - for standard output, or put names into the list: URL, tabulator, name"},
    {"", "--dir", "write -o DIR"},
    {"", "--max-tries", "write --retries N, for so many attempts after the first"},
};

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// "1-9", "001-100", "a-z" or "1-9:2".
bool is_range(std::string_view text) noexcept {
    text = text.substr(0, text.find(':'));
    const auto dash = text.find('-');
    if (dash == std::string_view::npos)
        return false;
    const auto first = text.substr(0, dash);
    const auto last = text.substr(dash + 1);
    const auto are_all = [&](bool (*is)(char) noexcept) {
        return !first.empty() && !last.empty() && std::ranges::all_of(first, is) && std::ranges::all_of(last, is);
    };
    return are_all(is_digit) || (are_all(is_letter) && first.size() == 1 && last.size() == 1);
}

/// *Returns* whether the text, from between braces in a URL, is a list of words as curl expands it ("a,b"). A piece of
/// JSON, which has braces and commas too, is none: it has quotes and colons.
bool is_list(std::string_view text) noexcept {
    return text.find(',') != std::string_view::npos && std::ranges::all_of(text, [](char c) {
        return is_digit(c) || is_letter(c) || c == ',' || c == '.' || c == '-' || c == '_';
    });
}

} // namespace

std::string_view advice_on(std::string_view command, std::string_view word) noexcept {
    const std::span<const row> table = command == "run"     ? std::span<const row>(for_run)
                                       : command == "fetch" ? std::span<const row>(for_fetch)
                                                            : std::span<const row>();
    const bool is_long = word.starts_with("--");
    const auto name = is_long ? word.substr(0, word.find('=')) : word.substr(0, 2);
    const auto at = std::ranges::find(table, name, is_long ? &row::name : &row::letter);
    return at == table.end() ? std::string_view() : at->advice;
}

bool looks_like_a_url(std::string_view word) noexcept {
    return word.starts_with("http://") || word.starts_with("https://");
}

bool looks_like_letters_of_curl(std::string_view word) noexcept {
    return !word.empty() && word.find_first_not_of("sSLkOJvgGiIN46#") == std::string_view::npos;
}

bool looks_like_a_file(std::string_view path) noexcept {
    constexpr std::size_t longest_ending = 5;
    const auto name = path.substr(path.find_last_of('/') + 1);
    const auto dot = name.find_last_of('.');
    if (dot == std::string_view::npos || dot == 0)
        return false;
    const auto ending = name.substr(dot + 1);
    const auto is_letter_or_digit = [](char c) { return is_letter(c) || is_digit(c); };
    return !ending.empty() && ending.size() <= longest_ending && std::ranges::all_of(ending, is_letter_or_digit) &&
           std::ranges::any_of(ending, is_letter);
}

std::string_view series_in(std::string_view url) noexcept {
    for (auto at = url.find_first_of("[{"); at != std::string_view::npos; at = url.find_first_of("[{", at + 1)) {
        const auto end = url.find(url[at] == '[' ? ']' : '}', at);
        if (end == std::string_view::npos)
            return {};
        const auto inside = url.substr(at + 1, end - at - 1);
        if (url[at] == '[' ? is_range(inside) : is_list(inside))
            return url.substr(at, end - at + 1);
    }
    return {};
}

} // namespace tool
