#ifndef EXAMPLES_RESOURCE_SERVER_DEMO_CORPUS_H_
#define EXAMPLES_RESOURCE_SERVER_DEMO_CORPUS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace resource_server::demo {

// A file to ask for, and the bytes that the answer must have.
struct Document {
  std::string target;  // "/files/a%20b.gz"
  std::string body;    // decompressed
};

struct CorpusLimits {
  size_t max_files = 5000;
  // Decompressed. Larger ones would make the run a test of zlib: the most popular file gets a tenth
  // of all requests, whatever its size.
  size_t max_file_bytes = size_t{1} << 20;
  size_t max_total_bytes = size_t{512} << 20;
};

struct Corpus {
  std::vector<Document> documents;
  size_t total_bytes = 0;
  size_t skipped = 0;  // unreadable, damaged, too large, or with a name that no URL can carry
};

// Reads a sample of the regular files below `root`, in an order that depends on the names and the
// seed alone. Decompresses with zlib's gzread, not with the server's code, which is on trial.
// Returns: NotFound if there is no directory, or nothing in it to ask for.
absl::StatusOr<Corpus> ReadCorpus(const std::string& root, uint64_t seed,
                                  const CorpusLimits& limits = {});

// "/files/" and the path with all but unreserved characters percent-encoded.
std::string TargetFor(std::string_view relative_path);

}  // namespace resource_server::demo

#endif  // EXAMPLES_RESOURCE_SERVER_DEMO_CORPUS_H_
