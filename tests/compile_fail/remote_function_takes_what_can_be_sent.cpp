// SPDX-License-Identifier: MIT
// expect: an argument can't be sent to another process: give its type a to_json and a from_json
#include <muster/process_pool/remote_function.hpp>

struct handle {
#ifdef MUSTER_CONTROL
    friend void to_json(nlohmann::json& j, const handle& h) { j = h.number; }
    friend void from_json(const nlohmann::json& j, handle& h) { j.get_to(h.number); }
#endif
    int number = 0;
};

int use(handle h) { return h.number; }

const muster::remote_function remote_use("use", &use);
