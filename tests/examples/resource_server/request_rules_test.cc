#include "examples/resource_server/request_rules.h"

#include <gtest/gtest.h>

#include <boost/beast/http/error.hpp>
#include <string_view>

#include "absl/status/status.h"

namespace resource_server {
namespace {

namespace http = boost::beast::http;

RequestHeader Header(http::verb method = http::verb::get, unsigned version = 11) {
  RequestHeader header;
  header.method(method);
  header.version(version);
  header.set(http::field::host, "h");
  return header;
}

http::status StatusForError(http::error error, std::string_view target, std::string_view unparsed) {
  RequestHeader header;
  header.target({target.data(), target.size()});
  return RefusalForParseError(error, header, unparsed).status;
}

TEST(RequestRules, TooLongIsTheLineOrTheRest) {
  EXPECT_EQ(StatusForError(http::error::header_limit, "", "GET /aaaaa"),
            http::status::uri_too_long);
  EXPECT_EQ(StatusForError(http::error::header_limit, "", "GET / HTTP/1.1\r\nX: aaaa"),
            http::status::request_header_fields_too_large);
  EXPECT_EQ(StatusForError(http::error::header_limit, "/", "X: aaaa"),
            http::status::request_header_fields_too_large);
  EXPECT_EQ(StatusForError(http::error::buffer_overflow, "/", ""),
            http::status::request_header_fields_too_large);
}

TEST(RequestRules, OtherParseErrors) {
  EXPECT_EQ(StatusForError(http::error::bad_version, "/", "GET / HTTP/2.0\r\n"),
            http::status::http_version_not_supported);
  for (const char* line : {"GET / HTTP/1.1\n", "GET / http/1.1\r\n", "GET / HTTP/x.1\r\n",
                           "GET / HTTP/1.1", "\r\n", ""}) {
    EXPECT_EQ(StatusForError(http::error::bad_version, "/", line), http::status::bad_request)
        << line;
  }
  EXPECT_EQ(RefusalForParseError(http::error::body_limit, Header(), "").status,
            http::status::payload_too_large);
  EXPECT_EQ(RefusalForParseError(http::error::body_limit, Header(http::verb::post), "").status,
            http::status::method_not_allowed);
  EXPECT_EQ(StatusForError(http::error::bad_field, "/", ""), http::status::bad_request);
}

TEST(RequestRules, HeadersThatPass) {
  EXPECT_FALSE(CheckHeader(Header()));
  EXPECT_FALSE(CheckHeader(Header(http::verb::head)));
  RequestHeader old = Header(http::verb::get, 10);
  old.erase(http::field::host);
  EXPECT_FALSE(CheckHeader(old)) << "HTTP/1.0 knew no Host";
}

TEST(RequestRules, HeadersThatDoNot) {
  EXPECT_EQ(CheckHeader(Header(http::verb::post))->status, http::status::method_not_allowed);
  RequestHeader header = Header();
  header.method_string("BREW");
  EXPECT_EQ(CheckHeader(header)->status, http::status::method_not_allowed);
  header = Header();
  header.insert(http::field::host, "i");
  EXPECT_EQ(CheckHeader(header)->status, http::status::bad_request);
  header = Header();
  header.erase(http::field::host);
  EXPECT_EQ(CheckHeader(header)->status, http::status::bad_request);
  header = Header();
  header.set(http::field::content_length, "1");
  header.set(http::field::transfer_encoding, "chunked");
  EXPECT_EQ(CheckHeader(header)->status, http::status::bad_request);
}

TEST(RequestRules, ErrorsOfLoadsHaveTheirStatus) {
  EXPECT_EQ(StatusFor(absl::NotFoundError("")), http::status::not_found);
  EXPECT_EQ(StatusFor(absl::PermissionDeniedError("")), http::status::forbidden);
  EXPECT_EQ(StatusFor(absl::OutOfRangeError("")), http::status::forbidden);
  EXPECT_EQ(StatusFor(absl::DataLossError("")), http::status::internal_server_error);
  EXPECT_EQ(StatusFor(absl::InternalError("")), http::status::internal_server_error);
  EXPECT_EQ(StatusFor(absl::UnavailableError("")), http::status::service_unavailable);
  EXPECT_EQ(StatusFor(absl::CancelledError("")), http::status::service_unavailable);
  EXPECT_EQ(StatusFor(absl::ResourceExhaustedError("")), http::status::service_unavailable);
  EXPECT_EQ(StatusFor(absl::DeadlineExceededError("")), http::status::gateway_timeout);
}

}  // namespace
}  // namespace resource_server
