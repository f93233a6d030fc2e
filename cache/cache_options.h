// How a WeakValueCache is made.

#ifndef WEAKREF_CACHE_CACHE_OPTIONS_H_
#define WEAKREF_CACHE_CACHE_OPTIONS_H_

#include <cstddef>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

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

// How long one call may wait for somebody else's load.
struct WaitOptions {
  // The wait ends with kDeadlineExceeded then. Blocking calls only; for StartGetOrCreate, use
  // `stop`. It does not interrupt a loader that this very call runs.
  absl::Time deadline = absl::InfiniteFuture();
  // The wait ends with kCancelled when a stop is requested.
  std::stop_token stop = {};
};

}  // namespace weakref

#endif  // WEAKREF_CACHE_CACHE_OPTIONS_H_
