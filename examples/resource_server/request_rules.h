#ifndef EXAMPLES_RESOURCE_SERVER_REQUEST_RULES_H_
#define EXAMPLES_RESOURCE_SERVER_REQUEST_RULES_H_

#include <boost/beast/core/error.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/status.hpp>
#include <optional>
#include <string_view>

#include "examples/resource_server/reply.h"

namespace resource_server {

using RequestHeader = boost::beast::http::request_header<>;

// Why a request is not served.
struct Refusal {
  boost::beast::http::status status;
  std::string_view reason;  // a literal, for the log only
};

// What is wrong with a request that the parser gave up on. `unparsed` is what it left in the
// buffer, `header` what it got.
Refusal RefusalForParseError(boost::beast::error_code error, const RequestHeader& header,
                             std::string_view unparsed);

// What is wrong with a header that parsed.
std::optional<Refusal> CheckHeader(const RequestHeader& header);

RequestInfo InfoFor(const RequestHeader& header);

// True if one of the request's If-None-Match fields names `etag`.
bool IsNotModified(const RequestHeader& header, std::string_view etag);

// True if the client waits for our consent before it sends a body. The final status is as good an
// answer; then the body may or may not follow, so the connection must end with it.
bool ExpectsContinue(const RequestHeader& header);

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_REQUEST_RULES_H_
