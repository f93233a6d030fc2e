#ifndef EXAMPLES_RESOURCE_SERVER_CONNECTION_H_
#define EXAMPLES_RESOURCE_SERVER_CONNECTION_H_

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "examples/resource_server/connection_set.h"
#include "examples/resource_server/deadline.h"
#include "examples/resource_server/log.h"
#include "examples/resource_server/metrics.h"
#include "examples/resource_server/reply.h"
#include "examples/resource_server/request_rules.h"
#include "examples/resource_server/resource_cache.h"

namespace resource_server {

using Strand = boost::asio::strand<boost::asio::io_context::executor_type>;
using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, Strand>;

struct ConnectionLimits {
  size_t max_request_bytes = 0;         // of the request line, of the header, and of a body
  Clock::duration header_timeout = {};  // from a request's first byte to its last
  Clock::duration load_timeout = {};    // for the cache to come up with a resource
  Clock::duration idle_timeout = {};    // without a request
  Clock::duration write_timeout = {};   // without progress while a response is being sent
  bool hold_last = true;                // an idle connection keeps its last resource in use
};

// What connections use and do not own; outlives them.
struct ConnectionContext {
  ConnectionLimits limits;
  ResourceCache& cache;
  Metrics& metrics;
  const Logger& log;
  ConnectionSet& connections;
};

// One client: reads a request, answers it, reads the next. Everything happens on the socket's
// strand, one operation at a time, and no operation blocks; a pending operation owns the
// connection.
//
//   state       waits for                 leaves by
//   kIdle       a request's first byte    OnFirstBytes -> kReading; idle timeout, Drain -> kClosed
//   kReading    the rest of the request   OnHeader, OnBody -> kLoading | kWriting; timeout: a 408
//   kLoading    the cache                 OnResource -> kWriting; timeout: a 504, and no more
//   requests kWriting    the client to read        OnWritten -> kIdle | kReading (pipelined) |
//   kLingering kLingering  the client to close       OnLingered -> kClosed kClosed     nothing
//
// Pipelined requests are answered in order: the next is not looked at before the last is answered.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Socket socket, ConnectionContext& context);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  void Start();

  // Closes as soon as no request is in flight: one whose first byte has arrived is still answered.
  // May be called from any thread.
  void Drain();

 private:
  enum class State { kIdle, kReading, kLoading, kWriting, kLingering, kClosed };
  using ErrorCode = boost::beast::error_code;
  // A request's body is read to find its end, and dropped.
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  using Serializer = boost::beast::http::response_serializer<ReplyBody>;

  void AwaitRequest();
  void OnFirstBytes(ErrorCode error, size_t bytes);
  void ReadHeader();
  void OnHeader(ErrorCode error, size_t bytes);
  void ReadBody();
  void OnBody(ErrorCode error, size_t bytes);
  void OnReadFailed(ErrorCode error);

  void Dispatch();
  void OnResource(absl::StatusOr<ResourceRef> resource);
  void Refuse(const Refusal& refusal);

  void Send(Reply reply);
  void WriteMore();
  void OnWritten(ErrorCode error, size_t bytes);
  void OnSent();

  void Linger();
  void ReadAndDrop();
  void OnLingered(ErrorCode error, size_t bytes);
  void Close();
  void Reset();

  void Arm(Clock::duration timeout);
  void OnDeadline();
  bool RequestHasBegun();
  void EndRequest();
  std::string Peer() const;

  ConnectionContext& context_;
  Socket socket_;
  Deadline<Strand> deadline_;
  State state_ = State::kIdle;
  bool timed_out_ = false;
  bool draining_ = false;
  bool in_flight_ = false;

  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  RequestInfo request_;
  Clock::time_point arrival_;
  std::optional<Reply> reply_;
  std::optional<Serializer> serializer_;
  ResourceRef held_;
  size_t lingered_ = 0;
};

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_CONNECTION_H_
