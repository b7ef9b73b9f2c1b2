// SPDX-License-Identifier: MIT
// This file is two tables: options of other programs that people have in their fingers, and what to write instead.
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
    {"-N", "--max-replace-args", "write -n N"},
    {"-o", "--open-tty", "write --tty: one command at a time reads the terminal"},
    {"-p", "--interactive", "it never asks; --dry-run shows what would run"},
    {"-v", "--verbose", "write --trace"},
    {"-S", "--sshlogin", "write --on HOSTS"},
    {"-q", "--quote", "words of a template are never read by a shell again"},
    {"", "--xapply", "write --link, or :::+ in front of the second list"},
    {"", "--will-cite", "leave it out"},
    {"", "--shuf", "give the inputs through shuf"},
    {"", "--eta", "the progress shows the time that is left; --progress does where there is no terminal"},
    {"", "--group", "leave it out: outputs are printed in one piece each unless there is -u or --line-buffer"},
    {"", "--files", "write --results DIR"},
    {"", "--pipepart", "write --pipe -f FILE"},
    {"", "--round-robin", "--pipe gives each block to a command of its own"},
    {"", "--tmpdir", "set TMPDIR"},
    {"", "--workdir", "write --wd DIR"},
    {"", "--retry-failed", "write --resume, which runs what failed again, and give the same template and inputs"},
    {"", "--resume-failed", "write --resume, which runs what failed again"},
    {"", "--semaphore", "flock(1) is for that"},
    {"", "--trim", "inputs are taken as they are; a file's lines may go through sed before"},
    {"", "--plus", "there are {.} {/} {//} {/.} {#} {%} {1} and names"},
};

constexpr row for_fetch[] = {
    {"-L", "--location", "redirects are followed in any case, up to --max-redirects"},
    {"-s", "--silent", "write -q"},
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
    {"-m", "--max-time", "write --timeout TIME"},
    {"-t", "--tries", "write --retries N, for so many attempts after the first"},
    {"-E", "", "write --cert FILE"},
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
    {"", "--parallel-max", "write -j N"},
    {"", "--json", "write -d DATA -H 'Content-Type: application/json'"},
    {"", "--data-binary", "write -d or --data-file, which send the bytes as they are"},
    {"", "--data-raw", "write -d"},
    {"", "--retry-delay", "pauses grow by themselves and follow the server's Retry-After"},
    {"", "--http1.1", "write --http 1.1"},
    {"", "--http2", "write --http 2"},
    {"", "--http1.0", "write --http 1.0"},
    {"", "--digest", "put the digest into the list: URL, tabulator, name, tabulator, sha256:..."},
    {"", "--recursive", "it follows no links: give it the URLs"},
};

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

} // namespace tool
