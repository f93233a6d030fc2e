#include "examples/resource_server/listener.h"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <chrono>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace resource_server {
namespace {

namespace net = boost::asio;

// When descriptors run out, accept fails at once, again and again. Connections that end give some
// back.
constexpr auto kRetryAfter = std::chrono::milliseconds(50);

}  // namespace

Listener::Listener(net::io_context& io, ConnectionContext& context)
    : io_(io),
      context_(context),
      acceptor_(net::make_strand(io)),
      retry_(acceptor_.get_executor()) {}

absl::StatusOr<std::shared_ptr<Listener>> Listener::Bind(net::io_context& io,
                                                         const net::ip::tcp::endpoint& at,
                                                         ConnectionContext& context) {
  std::shared_ptr<Listener> listener(new Listener(io, context));
  Acceptor& acceptor = listener->acceptor_;
  boost::beast::error_code error;
  acceptor.open(at.protocol(), error);
  if (!error) acceptor.set_option(net::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(at, error);
  if (!error) acceptor.listen(net::socket_base::max_listen_connections, error);
  if (!error) listener->endpoint_ = acceptor.local_endpoint(error);
  if (error) return absl::UnavailableError(absl::StrCat("cannot listen: ", error.message()));
  return listener;
}

void Listener::Start() { AwaitRoom(); }

void Listener::Stop(std::function<void()> stopped) {
  net::dispatch(acceptor_.get_executor(),
                [self = shared_from_this(), stopped = std::move(stopped)] {
                  self->stopped_ = true;
                  boost::beast::error_code ignored;
                  self->acceptor_.close(ignored);
                  self->retry_.cancel();
                  stopped();
                });
}

void Listener::AwaitRoom() {
  context_.connections.NotifyWhenRoom([self = shared_from_this()] {
    // Posted, never done here: this may be the destructor of the connection that makes room.
    net::post(self->acceptor_.get_executor(), [self] { self->Accept(); });
  });
}

void Listener::Accept() {
  if (stopped_) return;
  acceptor_.async_accept(
      net::make_strand(io_),
      net::bind_executor(acceptor_.get_executor(), boost::beast::bind_front_handler(
                                                       &Listener::OnAccepted, shared_from_this())));
}

void Listener::OnAccepted(boost::beast::error_code error, Socket socket) {
  // A connection that was accepted in the very moment of the stop is closed unserved.
  if (stopped_) return;
  if (error) return RetryLater();
  std::make_shared<Connection>(std::move(socket), context_)->Start();
  AwaitRoom();
}

void Listener::RetryLater() {
  retry_.expires_after(kRetryAfter);
  retry_.async_wait([self = shared_from_this()](boost::beast::error_code error) {
    if (!error) self->Accept();
  });
}

}  // namespace resource_server
