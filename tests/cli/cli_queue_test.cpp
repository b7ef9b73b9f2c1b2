// SPDX-License-Identifier: MIT
/// muster queue, on a server of its own where there is PostgreSQL.
#include "support/cli_program.hpp"

#include <filesystem>

namespace {

using namespace std::chrono_literals;
using cli::program;

bool has_queues() {
    return std::filesystem::exists(std::filesystem::path(MUSTER_PROGRAM).parent_path() / "muster-queue");
}

/// *Returns* why there is no server here; empty if there is one.
std::string why_not() {
    if (!has_queues())
        return "this muster was built without libpq";
    program p({"queue", "demo", "--", "true"});
    return p.wait() == 2 ? p.err : std::string();
}

std::string left_behind() {
    std::string all;
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::temp_directory_path()))
        if (entry.path().filename().string().starts_with("muster-queue-"))
            all += entry.path().string() + ' ';
    return all;
}

} // namespace

class muster_queue : public cli::muster_command {};

TEST_F(muster_queue, refuses_a_password_on_its_command_line_and_says_where_it_belongs) {
    if (!has_queues())
        GTEST_SKIP() << "this muster was built without libpq";
    program p({"queue", "--on", "postgresql://user:secret@host/database"});
    EXPECT_EQ(p.wait(), 2);
    EXPECT_NE(p.err.find("PGPASSFILE"), std::string::npos) << p.err;
    EXPECT_EQ(p.err.find("secret"), std::string::npos) << p.err;
    program without({"queue"});
    EXPECT_EQ(without.wait(), 2);
    EXPECT_NE(without.err.find("--on"), std::string::npos) << without.err;
    program nowhere({"queue", "--on", "host=/nonexistent dbname=x"});
    EXPECT_EQ(nowhere.wait(), 1);
    EXPECT_NE(nowhere.err.find("can't be reached"), std::string::npos) << nowhere.err;
}

TEST_F(muster_queue, of_an_older_version_is_said_once_with_what_to_run) {
    if (const auto problem = why_not(); !problem.empty())
        GTEST_SKIP() << problem;
    if (std::system("command -v psql > /dev/null") != 0)
        GTEST_SKIP() << "there is no psql";
    const std::string script = "psql -q -d \"$MUSTER_QUEUE\" -c 'UPDATE muster.setting SET version = 3' && "
                               "\"$0\" run --on \"$MUSTER_QUEUE\" echo ::: 1 2";
    program p({"queue", "demo", "--", "sh", "-c", script, MUSTER_PROGRAM});
    EXPECT_EQ(p.wait(), 1) << p.err;
    const auto at = p.err.find("run `muster queue init` once, with the same --on and --schema");
    EXPECT_NE(at, std::string::npos) << p.err;
    EXPECT_EQ(p.err.find("muster queue init", at + 20), std::string::npos) << p.err;
    EXPECT_NE(p.err.find("2 not started"), std::string::npos) << p.err;
}

TEST_F(muster_queue, shows_no_password_of_an_address_in_whatever_form_it_comes) {
    if (!has_queues())
        GTEST_SKIP() << "this muster was built without libpq";
    const std::vector<std::string> forms = {"postgresql://al:sesame@h1,h2/db", "postgresql://al@h/db?password=sesame",
        "postgresql://al@h/db?pass%77ord=sesame", "postgresql://al@h/db?sslpassword=sesame", "host=h password=sesame",
        "host = h password = 'sesame x'", "postgres://al:s%65same@h/db", "postgresql://al:sesame@h:port/db",
        "postgresql://al:se@sesame@h/db", "postgresql://al:sesame@[::1/db", "host=h passwd=sesame",
        "postgresql://al:sesame@h/db?no=1", "POSTGRESQL://al:sesame@h/db", "postgresql:/al:sesame@h/db",
        "postgresql:al:sesame@h", " postgresql://al:sesame@h/db",
        // The host was forgotten: libpq takes the password for a port.
        "postgresql://al:sesame", "postgresql://al:sesame/db", "host=/nonexistent dbname=postgresql://al:sesame@h/db"};
    for (const auto& form : forms)
        for (const std::vector<std::string>& words :
            {std::vector<std::string>{"queue", "--on", form}, std::vector<std::string>{"queue", "init", "--on", form},
                std::vector<std::string>{"worker", "--allow", "true", "--on", form},
                std::vector<std::string>{"run", "--jsonl", path("log"), "--on", form, "true", ":::", "x"}}) {
            program p(words);
            EXPECT_EQ(p.wait(), 2) << form << ": " << p.err;
            EXPECT_EQ((p.out + p.err + read(path("log"))).find("sesame"), std::string::npos) << form << ": " << p.err;
        }
    // In the environment it may have one, which no message repeats.
    for (const auto* form : {"postgresql://al:sesame@127.0.0.1:1/db", "host=127.0.0.1 port=1 password=sesame",
             "postgresql://al:sesame@127.0.0.1:no/db"}) {
        ::setenv("MUSTER_QUEUE", form, 1);
        ::setenv("PGPASSWORD", "sesame", 1);
        program p({"queue"});
        EXPECT_NE(p.wait(), 0);
        EXPECT_FALSE(p.err.empty());
        EXPECT_EQ((p.out + p.err).find("sesame"), std::string::npos) << p.err;
    }
    ::unsetenv("MUSTER_QUEUE");
    ::unsetenv("PGPASSWORD");
}

TEST_F(muster_queue, shows_what_its_environment_says_so_that_it_steers_nothing) {
    if (!has_queues())
        GTEST_SKIP() << "this muster was built without libpq";
    const std::string hostile = "\x1b[2J\x9b" + std::string("31m\nmuster: all is well");
    const std::vector<std::pair<std::string, std::string>> rows = {{"MUSTER_QUEUE", hostile}, {"MUSTER_QUEUE", ""},
        {"MUSTER_QUEUE", "host=" + hostile}, {"MUSTER_QUEUE", "postgresql://u@h%1b%5b2J/db"},
        {"MUSTER_QUEUE", "service=a\x1b[2J"}, {"MUSTER_QUEUE", std::string(100'000, 'a')},
        {"MUSTER_QUEUE", "host=127.0.0.1 port=1 target_session_attrs='" + hostile + "'"}, {"PGHOST", hostile},
        {"PGPORT", hostile}, {"PGSSLMODE", hostile}, {"PGSERVICE", hostile}, {"PGDATABASE", hostile},
        {"PGOPTIONS", hostile}, {"PGUSER", hostile}, {"PGPASSWORD", hostile}, {"PGCONNECT_TIMEOUT", hostile}};
    for (const auto& [name, value] : rows) {
        ::setenv("PGHOST", "/nonexistent", 1);
        ::setenv("MUSTER_QUEUE", "dbname=x", 1);
        ::setenv(name.c_str(), value.c_str(), 1);
        for (const std::vector<std::string>& words :
            {std::vector<std::string>{"queue"}, std::vector<std::string>{"worker", "--allow", "true"}}) {
            program p(words);
            EXPECT_NE(p.wait(), 0) << name << '=' << value;
            EXPECT_FALSE(p.err.empty());
            EXPECT_LT(p.err.size(), 5000u);
            EXPECT_EQ(p.err.find_first_of("\x1b\x9b"), std::string::npos) << p.err;
            EXPECT_EQ(p.err.find("\nmuster: all is well"), std::string::npos) << p.err;
        }
        ::unsetenv(name.c_str());
    }
    ::unsetenv("PGHOST");
    ::unsetenv("MUSTER_QUEUE");
}

TEST_F(muster_queue, makes_one_to_try_that_is_gone_afterwards) {
    if (const auto problem = why_not(); !problem.empty())
        GTEST_SKIP() << problem;
    const std::string script =
        "\"$0\" queue && \"$0\" queue init --on \"$MUSTER_QUEUE\" --schema two --queue-limit 7 && "
        "\"$0\" queue --schema two && echo ${MUSTER_QUEUE%% *}; exit 5";
    program p({"queue", "demo", "--", "sh", "-c", script, MUSTER_PROGRAM});
    EXPECT_EQ(p.wait(), 5) << p.err;
    EXPECT_NE(p.out.find("queued     0\n"), std::string::npos) << p.out << p.err;
    EXPECT_NE(p.out.find("queued     0 of 7 at most\n"), std::string::npos) << p.out << p.err;
    EXPECT_NE(p.out.find("two_client"), std::string::npos) << p.out;
    const auto folder = p.out.substr(p.out.find("host=/") + 5, p.out.rfind('\n') - p.out.find("host=/") - 5);
    EXPECT_FALSE(std::filesystem::exists(folder)) << folder << left_behind();
}
