#ifndef EXAMPLES_RESOURCE_SERVER_CONTENT_TYPE_H_
#define EXAMPLES_RESOURCE_SERVER_CONTENT_TYPE_H_

#include <string_view>

namespace resource_server {

// The media type for a file, by the extension of its name; case does not matter. With `gunzipped`
// the body is what the archive held, so ".gz" is ignored and ".tgz" counts as ".tar".
// Returns: a literal; "application/octet-stream" for what is not known.
std::string_view ContentTypeFor(std::string_view path, bool gunzipped);

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_CONTENT_TYPE_H_
