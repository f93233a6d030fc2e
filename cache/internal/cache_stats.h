// Public through cache/cache_stats.h. A snapshot of a cache's counters. Each is exact at some
// moment of the call; together they are not one moment.

#ifndef WEAKREF_CACHE_INTERNAL_CACHE_STATS_H_
#define WEAKREF_CACHE_INTERNAL_CACHE_STATS_H_

#include <cstdint>

namespace weakref {

struct CacheStats {
  // Requests: hits + misses = all of Find and GetOrCreate in its forms.
  uint64_t hits = 0;
  uint64_t misses = 0;
  // Loads begun; those that failed; requests that joined another's load instead of their own.
  uint64_t loads = 0;
  uint64_t load_failures = 0;
  uint64_t loads_shared = 0;
  // Waits that ended by deadline or stop token before their load did.
  uint64_t waits_left = 0;
  // Entries put aside by Insert over a live one or a load; by Invalidate.
  uint64_t superseded = 0;
  uint64_t invalidated = 0;
  // Objects of the cache that died.
  uint64_t deaths = 0;
  // Now: objects that Find would find; loads in flight.
  uint64_t live = 0;
  uint64_t loading = 0;
  uint64_t shards = 0;
};

}  // namespace weakref

#endif  // WEAKREF_CACHE_INTERNAL_CACHE_STATS_H_
