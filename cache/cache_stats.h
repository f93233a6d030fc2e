// CacheStats: a snapshot of a cache's counters.

#ifndef WEAKREF_CACHE_CACHE_STATS_H_
#define WEAKREF_CACHE_CACHE_STATS_H_

#include "cache/internal/cache_stats.h"  // export

#endif  // WEAKREF_CACHE_CACHE_STATS_H_
