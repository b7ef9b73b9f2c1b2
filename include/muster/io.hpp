// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// I/O on the loop: a table of contents. Every operation can be cancelled, and fails with a std::system_error or what
/// is derived from it. One descriptor is one stream, whatever it is of.
///
///     auto door = co_await muster::io::listen("127.0.0.1", 7777);
///     co_await muster::io::serve(door, echo);

#include <muster/io/address.hpp>          // where a socket is or goes to
#include <muster/io/connect_schedule.hpp> // when connect() tries which address
#include <muster/io/dns.hpp>              // names to addresses
#include <muster/io/error.hpp>            // the errors
#include <muster/io/file.hpp>             // files, through the pool
#include <muster/io/listener.hpp>         // accepting connections
#include <muster/io/pipe.hpp>             // pipes, standard input and output
#include <muster/io/reader.hpp>           // lines, so many bytes, up to a mark, all
#include <muster/io/serve.hpp>            // a task for each connection
#include <muster/io/signals.hpp>          // signals to await
#include <muster/io/stream.hpp>           // bytes in, bytes out
#include <muster/io/tcp.hpp>              // connect, listen
#include <muster/io/terminal.hpp>         // the size of a terminal
#include <muster/io/unix_socket.hpp>      // connect and listen by a path
