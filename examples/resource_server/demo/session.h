#ifndef EXAMPLES_RESOURCE_SERVER_DEMO_SESSION_H_
#define EXAMPLES_RESOURCE_SERVER_DEMO_SESSION_H_

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>

#include "examples/resource_server/demo/corpus.h"
#include "examples/resource_server/demo/tally.h"
#include "examples/resource_server/demo/zipf.h"

namespace resource_server::demo {

// What the clients have in common; outlives them.
struct Workload {
  boost::asio::ip::tcp::endpoint server;
  const Corpus& corpus;
  const Zipf& popularity;
  Tally& tally;
  std::atomic<bool> stop{false};
};

// One client: asks for one document after the other over a kept connection, and compares each
// answer with what the file says. Mostly GET, some HEAD, some If-None-Match with a tag it was given
// before. Connects anew now and then. Ends when told to stop, after its last answer, or after a
// failure.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(boost::asio::io_context& io, Workload& workload, uint64_t seed);

  void Start();

 private:
  enum class Kind { kGet, kHead, kRevalidate };
  using ErrorCode = boost::beast::error_code;
  using Response = boost::beast::http::response<boost::beast::http::string_body>;

  void Connect();
  void OnConnected(ErrorCode error);
  void SendNext();
  void OnSent(ErrorCode error, size_t bytes);
  void OnResponse(ErrorCode error, size_t bytes);
  bool Verify(const Response& response);
  void Fail(std::string_view what, ErrorCode error);
  std::string Complaint(std::string_view what, const Response& response) const;

  Workload& workload_;
  std::mt19937_64 random_;
  boost::beast::tcp_stream stream_;
  boost::beast::flat_buffer buffer_;
  boost::beast::http::request<boost::beast::http::empty_body> request_;
  std::optional<boost::beast::http::response_parser<boost::beast::http::string_body>> parser_;
  // By document: the tag that the server gave it.
  std::unordered_map<size_t, std::string> tags_;
  Kind kind_ = Kind::kGet;
  size_t document_ = 0;
  size_t requests_on_connection_ = 0;
  std::chrono::steady_clock::time_point sent_;
};

}  // namespace resource_server::demo

#endif  // EXAMPLES_RESOURCE_SERVER_DEMO_SESSION_H_
