#ifndef EXAMPLES_RESOURCE_SERVER_TARGET_PATH_H_
#define EXAMPLES_RESOURCE_SERVER_TARGET_PATH_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace resource_server {

enum class Endpoint { kFile, kMetrics, kHealth };

struct Target {
  Endpoint endpoint;
  // For kFile: relative, UTF-8, one spelling for each file ("a/b.txt"). No empty, "." or ".."
  // segment, no control character, no backslash. Serves as the cache's key.
  std::string path;
};

// Reads the target of a request line: origin form ("/files/a%20b?x") or absolute form
// ("http://host/files/a"). The query is ignored. Pure: touches no file.
//
// Percent escapes are decoded exactly once, before anything is judged, so every spelling of ".." or
// NUL meets the same rule, and "%252e" is a name with a percent sign in it.
//
// Returns: InvalidArgument (a 400) for what no client sends in good faith: "..", an encoded slash,
// a backslash, a control character, bytes that are not UTF-8 (overlong forms among them), a bad
// escape. NotFound (a 404) for well-formed targets that name no endpoint, and for names that end
// in a slash: those mean directories, which are never served.
absl::StatusOr<Target> ParseTarget(std::string_view target);

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_TARGET_PATH_H_
