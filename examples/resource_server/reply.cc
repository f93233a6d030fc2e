#include "examples/resource_server/reply.h"

#include <ctime>

#include "absl/strings/str_cat.h"

namespace resource_server {
namespace {

namespace http = boost::beast::http;

constexpr std::string_view kServerName = "resource_server";

// The value of a Date field (RFC 9110, 5.6.7), made once a second and thread.
std::string_view HttpDate() {
  thread_local std::time_t made_for = -1;
  thread_local char text[32];
  thread_local size_t length = 0;
  const std::time_t now = std::time(nullptr);
  if (now != made_for) {
    std::tm utc;
    ::gmtime_r(&now, &utc);
    // The program never sets a locale, so these are the English names that HTTP wants.
    length = std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    made_for = now;
  }
  return {text, length};
}

Reply MakeReply(const RequestInfo& request, http::status status, ReplyBody::value_type body) {
  Reply reply(std::piecewise_construct, std::make_tuple(std::move(body)),
              std::make_tuple(status, request.version));
  reply.set(http::field::server, kServerName);
  reply.set(http::field::date, HttpDate());
  reply.keep_alive(request.keep_alive);
  return reply;
}

void SetContent(Reply& reply, const RequestInfo& request, std::string_view content_type) {
  reply.set(http::field::content_type, content_type);
  // The type is what the extension says. A browser must not find a script where we saw text.
  reply.set("X-Content-Type-Options", "nosniff");
  reply.content_length(reply.body().bytes().size());
  reply.body().omitted = request.head;
}

void SetValidators(Reply& reply, const Resource& resource) {
  reply.set(http::field::etag, resource.etag);
  // Keep it, but ask before each use: files change, and asking costs a 304.
  reply.set(http::field::cache_control, "no-cache");
}

}  // namespace

Reply ResourceReply(const RequestInfo& request, ResourceRef resource) {
  Reply reply = MakeReply(request, http::status::ok, {.resource = std::move(resource)});
  SetContent(reply, request, reply.body().resource->content_type);
  SetValidators(reply, *reply.body().resource);
  return reply;
}

Reply NotModifiedReply(const RequestInfo& request, ResourceRef resource) {
  Reply reply = MakeReply(request, http::status::not_modified, {.resource = std::move(resource)});
  SetValidators(reply, *reply.body().resource);
  reply.body().omitted = true;
  return reply;
}

Reply TextReply(const RequestInfo& request, http::status status, std::string_view content_type,
                std::string text) {
  Reply reply = MakeReply(request, status, {.text = std::move(text)});
  SetContent(reply, request, content_type);
  return reply;
}

Reply ErrorReply(const RequestInfo& request, http::status status) {
  const boost::beast::string_view phrase = http::obsolete_reason(status);
  Reply reply = TextReply(request, status, "text/plain; charset=utf-8",
                          absl::StrCat(static_cast<unsigned>(status), " ",
                                       std::string_view(phrase.data(), phrase.size()), "\n"));
  if (status == http::status::method_not_allowed) reply.set(http::field::allow, "GET, HEAD");
  if (status == http::status::service_unavailable) reply.set(http::field::retry_after, "1");
  return reply;
}

http::status StatusFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return http::status::bad_request;
    case absl::StatusCode::kNotFound:
      return http::status::not_found;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kOutOfRange:
      return http::status::forbidden;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
      return http::status::service_unavailable;
    case absl::StatusCode::kDeadlineExceeded:
      return http::status::gateway_timeout;
    default:
      return http::status::internal_server_error;
  }
}

}  // namespace resource_server
