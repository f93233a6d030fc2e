// What tests may see of a cache that its users may not.

#ifndef WEAKREF_TESTS_SUPPORT_CACHE_WEAK_VALUE_CACHE_TEST_PEER_H_
#define WEAKREF_TESTS_SUPPORT_CACHE_WEAK_VALUE_CACHE_TEST_PEER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "cache/weak_value_cache.h"

namespace weakref {

class WeakValueCacheTestPeer {
 public:
  // Every shard's mutex, held. The shards must outlive it.
  class AllLocks {
   public:
    template <class Cache>
    explicit AllLocks(Cache& cache) {
      for (size_t i = 0; i < cache.core_->shard_count(); ++i) {
        locks_.push_back(std::make_unique<absl::MutexLock>(&cache.core_->shard(i).mutex()));
      }
    }

   private:
    std::vector<std::unique_ptr<absl::MutexLock>> locks_;
  };

  // Entries in the table, of whatever state.
  template <class Cache>
  static size_t TableCount(Cache& cache) {
    size_t count = 0;
    for (size_t i = 0; i < cache.core_->shard_count(); ++i) {
      absl::MutexLock lock(&cache.core_->shard(i).mutex());
      count += cache.core_->shard(i).table_locked().count();
    }
    return count;
  }
  // Entries that a walk over all buckets meets; TableCount, if the count is right.
  template <class Cache>
  static size_t EntriesInBuckets(Cache& cache) {
    size_t count = 0;
    for (size_t i = 0; i < cache.core_->shard_count(); ++i) {
      absl::MutexLock lock(&cache.core_->shard(i).mutex());
      cache.core_->shard(i).table_locked().VisitAllLocked([&](auto*) {
        ++count;
        return true;
      });
    }
    return count;
  }
  template <class Cache>
  static size_t ArrayBytes(Cache& cache) {
    size_t bytes = 0;
    for (size_t i = 0; i < cache.core_->shard_count(); ++i) {
      absl::MutexLock lock(&cache.core_->shard(i).mutex());
      bytes += cache.core_->shard(i).table_locked().array_bytes();
    }
    return bytes;
  }
  template <class Cache>
  static size_t EntryBytes(Cache& cache) {
    return cache.core_->shard(0).entry_bytes();
  }
};

}  // namespace weakref

#endif  // WEAKREF_TESTS_SUPPORT_CACHE_WEAK_VALUE_CACHE_TEST_PEER_H_
