#ifndef EXAMPLES_RESOURCE_SERVER_REPLY_H_
#define EXAMPLES_RESOURCE_SERVER_REPLY_H_

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/optional/optional.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "examples/resource_server/resource_cache.h"

namespace resource_server {

// A Beast body that is a shared resource, a text of our own, or, for HEAD and 304, nothing. The
// bytes of a resource go from the cache's object to the socket without a copy; the message owns a
// reference, so the object lives at least as long as its last byte is being sent.
struct ReplyBody {
  struct value_type {
    ResourceRef resource = {};
    std::string text = {};
    bool omitted = false;

    std::string_view bytes() const {
      if (omitted) return {};
      return resource ? std::string_view(resource->body) : std::string_view(text);
    }
  };

  static uint64_t size(const value_type& body) { return body.bytes().size(); }

  // Beast's BodyWriter.
  class writer {
   public:
    using const_buffers_type = boost::asio::const_buffer;

    template <bool kIsRequest, class Fields>
    writer(const boost::beast::http::header<kIsRequest, Fields>&, const value_type& body)
        : body_(body) {}

    void init(boost::beast::error_code& error) { error = {}; }

    boost::optional<std::pair<const_buffers_type, bool>> get(boost::beast::error_code& error) {
      error = {};
      const std::string_view bytes = body_.bytes();
      return {{const_buffers_type(bytes.data(), bytes.size()), /*more=*/false}};
    }

   private:
    const value_type& body_;
  };
};

using Reply = boost::beast::http::response<ReplyBody>;

// What a reply must know of the request it answers.
struct RequestInfo {
  unsigned version = 11;
  bool keep_alive = false;
  bool head = false;
};

// 200 with the resource.
Reply ResourceReply(const RequestInfo& request, ResourceRef resource);

// 304; keeps the resource as if it were being sent.
Reply NotModifiedReply(const RequestInfo& request, ResourceRef resource);

// Any status with a text of our own.
Reply TextReply(const RequestInfo& request, boost::beast::http::status status,
                std::string_view content_type, std::string text);

// A refusal. The body is the status and its standard phrase, nothing else: no path, no reason, no
// version.
Reply ErrorReply(const RequestInfo& request, boost::beast::http::status status);

// The status for a resource that could not be had:
// NotFound 404; PermissionDenied 403; OutOfRange (too large) 403, for 413 speaks of the request's
// body and waiting does not help; DataLoss (a damaged gzip file) 500; InvalidArgument 400;
// ResourceExhausted, Unavailable and Cancelled 503; DeadlineExceeded 504; anything else 500.
boost::beast::http::status StatusFor(const absl::Status& status);

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_REPLY_H_
