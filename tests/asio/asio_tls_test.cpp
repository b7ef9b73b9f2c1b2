// SPDX-License-Identifier: MIT
// Asio's TLS streams in tasks, over sockets of the loopback and with a certificate that is made here.
#include <muster/asio.hpp>

#include <muster/muster.hpp>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace asio = boost::asio;
namespace ssl = asio::ssl;
using asio::ip::tcp;
using muster::use_task;
using namespace std::chrono_literals;

namespace {

/// Has a key and a certificate that it signed itself, which the other side does not check.
ssl::context server_context() {
    ssl::context made(ssl::context::tls_server);
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), &X509_free);
    X509* const x = certificate.get();
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key.get());
    X509_NAME* const name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(
        name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(x, name);
    EXPECT_NE(X509_sign(x, key.get(), EVP_sha256()), 0);
    EXPECT_EQ(SSL_CTX_use_certificate(made.native_handle(), x), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey(made.native_handle(), key.get()), 1);
    return made;
}

using tls_stream = ssl::stream<tcp::socket>;

muster::task<> echo_once(tcp::acceptor& acceptor, ssl::context& context) {
    auto socket = co_await acceptor.async_accept(use_task);
    tls_stream stream(std::move(socket), context);
    co_await stream.async_handshake(ssl::stream_base::server, use_task);
    std::array<char, 100> data{};
    auto n = co_await stream.async_read_some(asio::buffer(data), use_task);
    co_await asio::async_write(stream, asio::buffer(data, n), use_task);
    co_await stream.async_shutdown(use_task);
}

muster::task<> say_hello(asio::io_context& io, tcp::endpoint server, ssl::context& context) {
    tls_stream stream(io, context);
    co_await stream.lowest_layer().async_connect(server, use_task);
    co_await stream.async_handshake(ssl::stream_base::client, use_task);
    co_await asio::async_write(stream, asio::buffer("hello", 5), use_task);
    std::string answer(5, ' ');
    co_await asio::async_read(stream, asio::buffer(answer), use_task);
    EXPECT_EQ(answer, "hello");
    co_await stream.async_shutdown(use_task);
}

muster::task<> talk(asio::io_context& io) {
    auto server = server_context();
    ssl::context client(ssl::context::tls_client);
    tcp::acceptor acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    co_await muster::gather(echo_once(acceptor, server), say_hello(io, acceptor.local_endpoint(), client));

    // A server that never answers the handshake.
    tls_stream stuck(io, client);
    co_await stuck.lowest_layer().async_connect(acceptor.local_endpoint(), use_task);
    bool timed_out = false;
    try {
        co_await muster::wait_for(stuck.async_handshake(ssl::stream_base::client, use_task), 5ms);
    } catch (const muster::timeout_error&) {
        timed_out = true;
    }
    EXPECT_TRUE(timed_out);
}

} // namespace

TEST(tls, streams_on_an_asio_loop) {
    muster::asio_loop loop;
    loop.run(talk(loop.context()), muster::run_options().strict());
}

TEST(tls, streams_with_the_io_context_on_its_own_thread) {
    muster::asio_thread net;
    muster::run(talk(net.context()), muster::run_options().strict());
}
