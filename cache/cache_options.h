// How a WeakValueCache is made.

#ifndef WEAKREF_CACHE_CACHE_OPTIONS_H_
#define WEAKREF_CACHE_CACHE_OPTIONS_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "cache/internal/wait_options.h"  // export: WaitOptions

namespace weakref {

struct CacheOptions {
  // Number of shards: a power of two from 1 to 65536, or 0 for DefaultShards(). Only misses,
  // inserts and last releases take a shard's mutex; hits take none, so this tunes churn, not hits.
  // Each costs about half a kilobyte empty.
  size_t shards = 0;

  // Stands in error messages and metrics.
  std::string name = "cache";

  // Four shards a hardware thread, at least 16: with as many threads missing at once as there are
  // hardware threads, one in eight finds its shard taken.
  static size_t DefaultShards();

  // OK, or what is wrong with this.
  absl::Status Validate() const;
};

}  // namespace weakref

#endif  // WEAKREF_CACHE_CACHE_OPTIONS_H_
