// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The arguments of this process as others see them, with ps say.
///
///     blank_secrets(argc, argv);    // muster fetch -u ***** -H "Cookie: ***"

namespace tool {

/// Overwrites the secrets in the argument list of muster fetch: the value of -u, those of the headers Authorization,
/// Proxy-Authorization and Cookie, and the name and password in the URL of -x. Whoever looks before it is called, or
/// reads the history of a shell, sees them all the same.
void blank_secrets(int argc, char** argv) noexcept;

} // namespace tool
