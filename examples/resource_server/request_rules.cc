#include "examples/resource_server/request_rules.h"

#include <boost/beast/http/error.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/verb.hpp>
#include <iterator>

#include "examples/resource_server/etag.h"

namespace resource_server {
namespace {

namespace http = boost::beast::http;

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

// Content-Length and Transfer-Encoding in one request: two readers might disagree where it ends,
// which is how requests are smuggled.
bool HasTwoLengths(const RequestHeader& header) {
  return header.count(http::field::content_length) > 0 &&
         header.count(http::field::transfer_encoding) > 0;
}

// True if the line says HTTP/digit.digit, which the parser also calls a bad version when it is not
// one of ours.
bool NamesAVersion(std::string_view unparsed) {
  const std::string_view line = unparsed.substr(0, unparsed.find("\r\n"));
  constexpr std::string_view kPattern = "HTTP/d.d";
  if (line.size() == unparsed.size() || line.size() < kPattern.size()) return false;
  const std::string_view version = line.substr(line.size() - kPattern.size());
  for (size_t i = 0; i < kPattern.size(); ++i) {
    const bool fits =
        kPattern[i] == 'd' ? version[i] >= '0' && version[i] <= '9' : version[i] == kPattern[i];
    if (!fits) return false;
  }
  return true;
}

}  // namespace

Refusal RefusalForParseError(boost::beast::error_code error, const RequestHeader& header,
                             std::string_view unparsed) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    // The parser takes the request line as soon as it is whole; or it waits for the end of the
    // header, and then the line's end is still in the buffer.
    const bool line_ended =
        !header.target().empty() || unparsed.find('\n') != std::string_view::npos;
    if (line_ended) {
      return {http::status::request_header_fields_too_large, "the header is too large"};
    }
    return {http::status::uri_too_long, "the request line is too long"};
  }
  if (error == http::error::body_limit) {
    // The parser has seen the whole header. A method that is not allowed anyway is the better news.
    if (const std::optional<Refusal> refusal = CheckHeader(header)) return *refusal;
    return {http::status::payload_too_large, "the body is too large"};
  }
  if (error == http::error::bad_version && NamesAVersion(unparsed)) {
    return {http::status::http_version_not_supported, "no version of HTTP that is served"};
  }
  return {http::status::bad_request, "malformed"};
}

std::optional<Refusal> CheckHeader(const RequestHeader& header) {
  if (HasTwoLengths(header)) return Refusal{http::status::bad_request, "two lengths"};
  // RFC 9112, 3.2: exactly one Host, and without doubt about it.
  const size_t hosts = header.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && header.version() >= 11)) {
    return Refusal{http::status::bad_request, "not exactly one Host"};
  }
  if (header.method() != http::verb::get && header.method() != http::verb::head) {
    return Refusal{http::status::method_not_allowed, "neither GET nor HEAD"};
  }
  return std::nullopt;
}

RequestInfo InfoFor(const RequestHeader& header) {
  http::token_list connection(header[http::field::connection]);
  const bool keep_alive =
      header.version() >= 11 ? !connection.exists("close") : connection.exists("keep-alive");
  return {.version = header.version(),
          .keep_alive = keep_alive,
          .head = header.method() == http::verb::head};
}

bool IsNotModified(const RequestHeader& header, std::string_view etag) {
  const auto [begin, end] = header.equal_range(http::field::if_none_match);
  for (auto field = begin; field != end; ++field) {
    if (IfNoneMatchNames(View(field->value()), etag)) return true;
  }
  return false;
}

bool ExpectsContinue(const RequestHeader& header) { return header.count(http::field::expect) > 0; }

}  // namespace resource_server
