#ifndef EXAMPLES_RESOURCE_SERVER_RESOURCE_H_
#define EXAMPLES_RESOURCE_SERVER_RESOURCE_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "examples/resource_server/freshness.h"
#include "examples/resource_server/safe_open.h"

namespace resource_server {

// What all requests for one path share: the decoded file. Immutable but for its freshness.
struct Resource {
  std::string path;
  std::string body;               // decompressed
  std::string_view content_type;  // a literal
  std::string etag;               // of body
  FileIdentity identity;          // of the file that body was read from
  // The file changed so shortly before it was read that another change might leave its identity as
  // it is (the clock of file times ticks every few milliseconds). Agreement then proves nothing.
  bool identity_is_young = false;
  Freshness freshness;
};

// Where resources come from. Both functions block, and may run on several threads at once.
class ResourceSource {
 public:
  virtual ~ResourceSource() = default;

  // Reads and decodes. Errors: those of RootDirectory::OpenRegular; OutOfRange when there is more
  // than may be served; DataLoss when the file is damaged; Unavailable when it keeps changing.
  virtual absl::StatusOr<Resource> Load(const std::string& path) = 0;

  // Cheap: what `identity` would be of a resource loaded now.
  virtual absl::StatusOr<FileIdentity> Identify(const std::string& path) = 0;
};

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_RESOURCE_H_
