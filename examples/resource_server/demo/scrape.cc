#include "examples/resource_server/demo/scrape.h"

#include <boost/asio/io_context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace resource_server::demo {

namespace http = boost::beast::http;

absl::StatusOr<Samples> Scrape(const boost::asio::ip::tcp::endpoint& server) {
  boost::asio::io_context io;
  boost::asio::ip::tcp::socket socket(io);
  boost::beast::error_code error;
  socket.connect(server, error);
  http::request<http::empty_body> request(http::verb::get, "/metrics", 11);
  request.set(http::field::host, "demo");
  request.keep_alive(false);
  if (!error) http::write(socket, request, error);
  boost::beast::flat_buffer buffer;
  http::response<http::string_body> response;
  if (!error) http::read(socket, buffer, response, error);
  if (error) return absl::UnavailableError(absl::StrCat("/metrics: ", error.message()));
  return ParseMetrics(response.body());
}

absl::StatusOr<Samples> ParseMetrics(std::string_view text) {
  Samples samples;
  for (std::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (line.starts_with('#')) continue;
    const size_t space = line.rfind(' ');
    double value = 0;
    if (space == std::string_view::npos || !absl::SimpleAtod(line.substr(space + 1), &value)) {
      return absl::InvalidArgumentError(absl::StrCat("/metrics: ", line));
    }
    samples.emplace(line.substr(0, space), value);
  }
  return samples;
}

uint64_t ValueOf(const Samples& samples, std::string_view name) {
  const auto found = samples.find(name);
  return found == samples.end() ? 0 : static_cast<uint64_t>(found->second);
}

}  // namespace resource_server::demo
