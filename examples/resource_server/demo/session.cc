#include "examples/resource_server/demo/session.h"

#include <boost/asio/strand.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace resource_server::demo {
namespace {

namespace http = boost::beast::http;
namespace net = boost::asio;

constexpr auto kPatience = std::chrono::seconds(30);
// Beast reads as much at a time as the buffer's capacity allows, 512 bytes to begin with.
constexpr size_t kReadBytes = size_t{64} << 10;
constexpr size_t kRequestsPerConnection = 1000;
constexpr uint64_t kPercentHead = 5;
constexpr uint64_t kPercentRevalidate = 10;

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

Session::Session(net::io_context& io, Workload& workload, uint64_t seed)
    : workload_(workload), random_(seed), stream_(net::make_strand(io)) {
  buffer_.reserve(kReadBytes);
  request_.version(11);
  request_.set(http::field::host, "demo");
}

void Session::Start() {
  net::dispatch(stream_.get_executor(), [self = shared_from_this()] { self->Connect(); });
}

void Session::Connect() {
  requests_on_connection_ = 0;
  buffer_.clear();
  stream_.expires_after(kPatience);
  stream_.async_connect(workload_.server, boost::beast::bind_front_handler(&Session::OnConnected,
                                                                           shared_from_this()));
}

void Session::OnConnected(ErrorCode error) {
  if (error) return Fail("connect", error);
  stream_.socket().set_option(net::ip::tcp::no_delay(true), error);
  SendNext();
}

void Session::SendNext() {
  if (workload_.stop.load(std::memory_order_relaxed)) {  // relaxed: nothing comes with it
    stream_.close();
    return;
  }
  if (requests_on_connection_++ == kRequestsPerConnection) {
    stream_.close();
    return Connect();
  }
  document_ = workload_.popularity(random_);
  const auto tag = tags_.find(document_);
  const uint64_t dice = random_() % 100;
  kind_ = dice < kPercentHead ? Kind::kHead : Kind::kGet;
  if (kind_ == Kind::kGet && dice < kPercentHead + kPercentRevalidate && tag != tags_.end()) {
    kind_ = Kind::kRevalidate;
  }
  request_.method(kind_ == Kind::kHead ? http::verb::head : http::verb::get);
  request_.target(workload_.corpus.documents[document_].target);
  request_.erase(http::field::if_none_match);
  if (kind_ == Kind::kRevalidate) {
    request_.set(http::field::if_none_match, absl::StrCat("\"other\", ", tag->second));
  }
  sent_ = std::chrono::steady_clock::now();
  stream_.expires_after(kPatience);
  http::async_write(stream_, request_,
                    boost::beast::bind_front_handler(&Session::OnSent, shared_from_this()));
}

void Session::OnSent(ErrorCode error, size_t) {
  if (error) return Fail("send", error);
  parser_.emplace();
  parser_->body_limit(boost::none);
  parser_->skip(kind_ == Kind::kHead);
  http::async_read(stream_, buffer_, *parser_,
                   boost::beast::bind_front_handler(&Session::OnResponse, shared_from_this()));
}

void Session::OnResponse(ErrorCode error, size_t) {
  if (error) return Fail("read", error);
  const auto latency = std::chrono::steady_clock::now() - sent_;
  const Response& response = parser_->get();
  if (!Verify(response)) return;
  workload_.tally.Verified(latency, response.body().size());
  if (!response.keep_alive()) {
    return workload_.tally.Failure(Complaint("connection not kept", response));
  }
  SendNext();
}

bool Session::Verify(const Response& response) {
  const Document& document = workload_.corpus.documents[document_];
  const http::status wanted =
      kind_ == Kind::kRevalidate ? http::status::not_modified : http::status::ok;
  if (response.result() != wanted) {
    workload_.tally.Failure(Complaint("wrong status", response));
    return false;
  }
  const std::string tag(View(response[http::field::etag]));
  if (tag.empty() || tags_.emplace(document_, tag).first->second != tag) {
    workload_.tally.Mismatch(Complaint("tag missing or changed", response));
    return false;
  }
  if (kind_ == Kind::kRevalidate) return true;
  size_t length = 0;
  if (!absl::SimpleAtoi(View(response[http::field::content_length]), &length) ||
      length != document.body.size()) {
    workload_.tally.Mismatch(Complaint("wrong length", response));
    return false;
  }
  if (kind_ == Kind::kGet && response.body() != document.body) {
    workload_.tally.Mismatch(Complaint("wrong body", response));
    return false;
  }
  return true;
}

void Session::Fail(std::string_view what, ErrorCode error) {
  workload_.tally.Failure(absl::StrCat(what, ": ", error.message()));
}

std::string Session::Complaint(std::string_view what, const Response& response) const {
  return absl::StrCat(what, ": ", View(request_.method_string()), " ", View(request_.target()),
                      " was answered ", response.result_int(), " with ", response.body().size(),
                      " bytes");
}

}  // namespace resource_server::demo
