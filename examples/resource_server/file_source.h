#ifndef EXAMPLES_RESOURCE_SERVER_FILE_SOURCE_H_
#define EXAMPLES_RESOURCE_SERVER_FILE_SOURCE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "examples/resource_server/resource.h"
#include "examples/resource_server/safe_open.h"

namespace resource_server {

// Resources made of the regular files below a directory; gzip files are decompressed.
class FileSource : public ResourceSource {
 public:
  // `max_bytes` bounds both what is read of a file and what it decompresses to.
  FileSource(RootDirectory root, size_t max_bytes);

  absl::StatusOr<Resource> Load(const std::string& path) override;
  absl::StatusOr<FileIdentity> Identify(const std::string& path) override;

 private:
  RootDirectory root_;
  size_t max_bytes_;
};

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_FILE_SOURCE_H_
