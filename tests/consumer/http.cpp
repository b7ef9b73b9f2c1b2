// SPDX-License-Identifier: MIT
// The same for the component http: its header, and its library with what that needs, from the installed package alone.
#include <muster/http.hpp>

int main() { return 0; }
