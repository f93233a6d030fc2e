#include "cache/cache_options.h"

#include <bit>
#include <thread>

#include "absl/strings/str_cat.h"

namespace weakref {

size_t CacheOptions::DefaultShards() {
  const size_t threads = std::thread::hardware_concurrency();
  return std::bit_ceil(threads * 4 < 16 ? size_t{16} : threads * 4);
}

absl::Status CacheOptions::Validate() const {
  constexpr size_t kMaxShards = 65536;
  if (shards != 0 && (!std::has_single_bit(shards) || shards > kMaxShards)) {
    return absl::InvalidArgumentError(absl::StrCat("CacheOptions::shards of '", name, "' is ",
                                                   shards, "; it must be a power of two up to ",
                                                   kMaxShards, ", or 0 for the default"));
  }
  return absl::OkStatus();
}

}  // namespace weakref
