#include "examples/resource_server/connection.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "examples/resource_server/target_path.h"

namespace resource_server {
namespace {

namespace http = boost::beast::http;
namespace net = boost::asio;

constexpr size_t kReadBytes = 4096;

// How long, and for how much, a client that is still sending is listened to after the last
// response. Closing at once would reset the connection, and the reset could overtake the response.
constexpr auto kLingerTimeout = std::chrono::seconds(2);
constexpr size_t kMaxLingerBytes = size_t{1} << 20;

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

std::string_view View(net::const_buffer buffer) {
  return {static_cast<const char*>(buffer.data()), buffer.size()};
}

// The client sent something that is no request, as opposed to nothing more.
bool IsParseError(boost::beast::error_code error) {
  return error.category() == http::make_error_code(http::error::bad_method).category() &&
         error != http::error::end_of_stream && error != http::error::partial_message;
}

bool IsOurFault(http::status status) {
  return http::to_status_class(status) == http::status_class::server_error &&
         status != http::status::http_version_not_supported;
}

}  // namespace

Connection::Connection(Socket socket, ConnectionContext& context)
    : context_(context),
      socket_(std::move(socket)),
      deadline_(socket_.get_executor(), [this] { OnDeadline(); }),
      // The parser's own limits are to be met first: they know what was too long.
      buffer_(2 * context.limits.max_request_bytes + kReadBytes) {
  context_.metrics.connections.Increment();
  context_.metrics.connections_accepted.Increment();
}

Connection::~Connection() {
  // What is gone when nobody counts us any more includes what we used.
  serializer_.reset();
  reply_.reset();
  held_.reset();
  EndRequest();
  context_.metrics.connections.Decrement();
  context_.connections.Remove(this);
}

void Connection::Start() {
  context_.connections.Add(shared_from_this());
  net::dispatch(socket_.get_executor(), [self = shared_from_this()] {
    ErrorCode ignored;
    self->socket_.set_option(net::ip::tcp::no_delay(true), ignored);
    self->AwaitRequest();
  });
}

void Connection::Drain() {
  net::dispatch(socket_.get_executor(), [self = shared_from_this()] {
    self->draining_ = true;
    if (self->state_ == State::kIdle && !self->RequestHasBegun()) self->Close();
  });
}

// --- Reading ---

void Connection::AwaitRequest() {
  state_ = State::kIdle;
  if (draining_ && !RequestHasBegun()) return Close();
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(context_.limits.max_request_bytes));
  parser_->body_limit(context_.limits.max_request_bytes);
  if (buffer_.size() > 0) return ReadHeader();
  Arm(context_.limits.idle_timeout);
  socket_.async_read_some(
      buffer_.prepare(kReadBytes),
      boost::beast::bind_front_handler(&Connection::OnFirstBytes, shared_from_this()));
}

void Connection::OnFirstBytes(ErrorCode error, size_t bytes) {
  if (state_ == State::kClosed) return;
  if (error) return Close();
  buffer_.commit(bytes);
  ReadHeader();
}

void Connection::ReadHeader() {
  state_ = State::kReading;
  Arm(context_.limits.header_timeout);
  http::async_read_header(
      socket_, buffer_, *parser_,
      boost::beast::bind_front_handler(&Connection::OnHeader, shared_from_this()));
}

void Connection::OnHeader(ErrorCode error, size_t) {
  if (state_ == State::kClosed) return;
  arrival_ = Clock::now();
  if (error) return OnReadFailed(error);
  in_flight_ = true;
  context_.metrics.requests_in_flight.Increment();
  request_ = InfoFor(parser_->get().base());
  if (const std::optional<Refusal> refusal = CheckHeader(parser_->get().base())) {
    // Only a refused method leaves no doubt about where the next request begins.
    if (refusal->status != http::status::method_not_allowed || !parser_->is_done()) {
      request_.keep_alive = false;
    }
    return Refuse(*refusal);
  }
  if (parser_->is_done()) return Dispatch();
  ReadBody();
}

void Connection::ReadBody() {
  if (ExpectsContinue(parser_->get().base())) {
    request_.keep_alive = false;
    return Dispatch();
  }
  http::async_read(socket_, buffer_, *parser_,
                   boost::beast::bind_front_handler(&Connection::OnBody, shared_from_this()));
}

void Connection::OnBody(ErrorCode error, size_t) {
  if (state_ == State::kClosed) return;
  if (error) return OnReadFailed(error);
  Dispatch();
}

void Connection::OnReadFailed(ErrorCode error) {
  // Where the next request would begin is anybody's guess.
  request_ = {};
  if (timed_out_) return Refuse({http::status::request_timeout, "the request takes too long"});
  if (!IsParseError(error)) return Close();
  Refuse(RefusalForParseError(error, parser_->get().base(), View(buffer_.data())));
}

// --- Answering ---

void Connection::Dispatch() {
  const absl::StatusOr<Target> target = ParseTarget(View(parser_->get().target()));
  if (!target.ok()) return Refuse({StatusFor(target.status()), target.status().message()});
  switch (target->endpoint) {
    case Endpoint::kHealth:
      return Send(TextReply(request_, http::status::ok, "text/plain; charset=utf-8", "ok\n"));
    case Endpoint::kMetrics: {
      std::string text;
      context_.metrics.Append(text);
      context_.cache.AppendMetrics(text);
      return Send(TextReply(request_, http::status::ok, "text/plain; version=0.0.4; charset=utf-8",
                            std::move(text)));
    }
    case Endpoint::kFile:
      state_ = State::kLoading;
      Arm(context_.limits.load_timeout);
      // A hit comes back in this call, and dispatch goes straight on; a load comes back on a thread
      // of the pool, and dispatch brings it to the strand.
      context_.cache.Get(target->path, arrival_,
                         [self = shared_from_this()](absl::StatusOr<ResourceRef> resource) {
                           const Strand strand = self->socket_.get_executor();
                           net::dispatch(strand, [self, resource = std::move(resource)]() mutable {
                             self->OnResource(std::move(resource));
                           });
                         });
  }
}

void Connection::OnResource(absl::StatusOr<ResourceRef> resource) {
  // Too late if the client was told so; then this connection ends, and waits for nothing else.
  if (state_ != State::kLoading) return;
  if (!resource.ok()) {
    return Refuse({StatusFor(resource.status()), resource.status().message()});
  }
  const bool unchanged = IsNotModified(parser_->get().base(), (*resource)->etag);
  Send(unchanged ? NotModifiedReply(request_, *std::move(resource))
                 : ResourceReply(request_, *std::move(resource)));
}

void Connection::Refuse(const Refusal& refusal) {
  const auto& header = parser_->get().base();
  const Logger::Fields fields = {{"status", absl::StrCat(static_cast<unsigned>(refusal.status))},
                                 {"reason", std::string(refusal.reason)},
                                 {"peer", Peer()},
                                 {"method", std::string(View(header.method_string()))},
                                 {"target", std::string(View(header.target()))}};
  if (IsOurFault(refusal.status)) {
    context_.log.Error("request failed", fields);
  } else {
    context_.log.Warn("request refused", fields);
  }
  Send(ErrorReply(request_, refusal.status));
}

void Connection::Send(Reply reply) {
  state_ = State::kWriting;
  if (draining_) reply.keep_alive(false);
  context_.metrics.CountResponse(reply.result_int());
  reply_.emplace(std::move(reply));
  serializer_.emplace(*reply_);
  WriteMore();
}

void Connection::WriteMore() {
  Arm(context_.limits.write_timeout);
  http::async_write_some(
      socket_, *serializer_,
      boost::beast::bind_front_handler(&Connection::OnWritten, shared_from_this()));
}

void Connection::OnWritten(ErrorCode error, size_t) {
  if (state_ == State::kClosed) return;
  if (error) return Close();
  if (!serializer_->is_done()) return WriteMore();
  OnSent();
}

void Connection::OnSent() {
  context_.metrics.body_bytes.Increment(reply_->body().bytes().size());
  const bool keep_alive = reply_->keep_alive();
  if (context_.limits.hold_last && reply_->body().resource) {
    held_ = std::move(reply_->body().resource);
  }
  serializer_.reset();
  reply_.reset();
  EndRequest();
  if (keep_alive) {
    AwaitRequest();
  } else {
    Linger();
  }
}

// --- Ending ---

void Connection::Linger() {
  state_ = State::kLingering;
  held_.reset();
  ErrorCode error;
  socket_.shutdown(Socket::shutdown_send, error);
  if (error) return Close();
  buffer_.clear();
  Arm(kLingerTimeout);
  ReadAndDrop();
}

void Connection::ReadAndDrop() {
  socket_.async_read_some(
      buffer_.prepare(kReadBytes),
      boost::beast::bind_front_handler(&Connection::OnLingered, shared_from_this()));
}

void Connection::OnLingered(ErrorCode error, size_t bytes) {
  if (state_ == State::kClosed) return;
  lingered_ += bytes;
  if (error || lingered_ > kMaxLingerBytes) return Close();
  ReadAndDrop();
}

void Connection::Close() {
  state_ = State::kClosed;
  ErrorCode ignored;
  socket_.close(ignored);
  deadline_.Cancel();
  held_.reset();
  EndRequest();
}

// Without waiting for the client to take what is still in the kernel's buffer.
void Connection::Reset() {
  ErrorCode ignored;
  socket_.set_option(net::socket_base::linger(true, 0), ignored);
  Close();
}

void Connection::Arm(Clock::duration timeout) {
  timed_out_ = false;
  deadline_.Arm(timeout, weak_from_this());
}

void Connection::OnDeadline() {
  switch (state_) {
    case State::kIdle:
    case State::kLingering:
      return Close();
    case State::kReading: {
      context_.metrics.timeouts.Increment();
      timed_out_ = true;
      ErrorCode ignored;
      socket_.cancel(ignored);
      return;
    }
    case State::kWriting:
      context_.metrics.timeouts.Increment();
      context_.log.Warn("client does not read its response", {{"peer", Peer()}});
      return Reset();
    case State::kLoading:
      request_.keep_alive = false;
      return Refuse({http::status::gateway_timeout, "the file takes too long"});
    case State::kClosed:
      return;
  }
}

bool Connection::RequestHasBegun() {
  ErrorCode ignored;
  return buffer_.size() > 0 || socket_.available(ignored) > 0;
}

void Connection::EndRequest() {
  if (!std::exchange(in_flight_, false)) return;
  context_.metrics.requests_in_flight.Decrement();
}

std::string Connection::Peer() const {
  ErrorCode error;
  const net::ip::tcp::endpoint peer = socket_.remote_endpoint(error);
  if (error) return "gone";
  return absl::StrCat(peer.address().to_string(), ":", peer.port());
}

}  // namespace resource_server
