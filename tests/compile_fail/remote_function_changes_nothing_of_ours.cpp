// SPDX-License-Identifier: MIT
// expect: a process can't change an object of another one: take this argument by value or by const reference
#include <muster/process_pool/remote_function.hpp>

#include <string>

#ifdef MUSTER_CONTROL
std::string trim(std::string text) {
#else
std::string trim(std::string& text) {
#endif
    text.clear();
    return text;
}

const muster::remote_function remote_trim("trim", &trim);
