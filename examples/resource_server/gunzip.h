#ifndef EXAMPLES_RESOURCE_SERVER_GUNZIP_H_
#define EXAMPLES_RESOURCE_SERVER_GUNZIP_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace resource_server {

// True if `bytes` begin like a gzip member (RFC 1952). Names lie; magic numbers seldom do.
bool IsGzip(std::string_view bytes);

// Decompresses all members of a gzip file. Zeros after the last member are padding and ignored, as
// gzip(1) does.
// Returns: DataLoss for what is corrupt, truncated or followed by something else; OutOfRange when
// the result would exceed `max_bytes`. A bomb costs no more than about max_bytes of memory: nothing
// is reserved on the word of the archive alone.
absl::StatusOr<std::string> Gunzip(std::string_view compressed, size_t max_bytes);

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_GUNZIP_H_
