#ifndef EXAMPLES_RESOURCE_SERVER_LISTENER_H_
#define EXAMPLES_RESOURCE_SERVER_LISTENER_H_

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "examples/resource_server/connection.h"

namespace resource_server {

// Accepts connections while there is room for them; the others wait in the kernel's queue, where
// they cost us nothing.
//
// Thread safety: public functions may be called from any thread.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  // Binds and listens, so that `port()` is known and clients may connect; accepts after Start().
  static absl::StatusOr<std::shared_ptr<Listener>> Bind(boost::asio::io_context& io,
                                                        const boost::asio::ip::tcp::endpoint& at,
                                                        ConnectionContext& context);

  void Start();

  // Closes the socket; then runs `stopped`, and no connection is started after that.
  void Stop(std::function<void()> stopped);

  boost::asio::ip::tcp::endpoint endpoint() const { return endpoint_; }

 private:
  using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::ip::tcp, Strand>;

  Listener(boost::asio::io_context& io, ConnectionContext& context);

  void AwaitRoom();
  void Accept();
  void OnAccepted(boost::beast::error_code error, Socket socket);
  void RetryLater();

  boost::asio::io_context& io_;
  ConnectionContext& context_;
  Acceptor acceptor_;
  boost::asio::steady_timer retry_;
  boost::asio::ip::tcp::endpoint endpoint_;
  bool stopped_ = false;
};

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_LISTENER_H_
