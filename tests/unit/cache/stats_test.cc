// size() and Stats() are exact while nobody is at work.

#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/weak_value_cache_test_peer.h"
#include "tests/support/run_threads.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using Cache = WeakValueCache<int, int>;

const auto kLoad = [](int key) { return key; };

void ExpectStats(const Cache& cache, const CacheStats& expected) {
  const CacheStats stats = cache.Stats();
  EXPECT_EQ(stats.hits, expected.hits);
  EXPECT_EQ(stats.misses, expected.misses);
  EXPECT_EQ(stats.loads, expected.loads);
  EXPECT_EQ(stats.load_failures, expected.load_failures);
  EXPECT_EQ(stats.loads_shared, expected.loads_shared);
  EXPECT_EQ(stats.waits_left, expected.waits_left);
  EXPECT_EQ(stats.superseded, expected.superseded);
  EXPECT_EQ(stats.invalidated, expected.invalidated);
  EXPECT_EQ(stats.deaths, expected.deaths);
  EXPECT_EQ(stats.live, expected.live);
  EXPECT_EQ(stats.loading, expected.loading);
  EXPECT_EQ(cache.size(), expected.live);
  EXPECT_EQ(cache.empty(), expected.live == 0);
}

TEST(CacheStats, NewCacheHasNone) {
  Cache cache(CacheOptions{.shards = 4});
  ExpectStats(cache, {});
  EXPECT_EQ(cache.Stats().shards, 4u);
}

TEST(CacheStats, FindCountsHitsAndMisses) {
  Cache cache;
  (void)cache.Find(1);
  const auto object = cache.Insert(1, 1);
  (void)cache.Find(1);
  (void)cache.Find(1);
  ExpectStats(cache, {.hits = 2, .misses = 1, .live = 1});
}

TEST(CacheStats, LoadsAndDeaths) {
  Cache cache;
  {
    const auto object = cache.GetOrCreate(1, kLoad);
    const auto again = cache.GetOrCreate(1, kLoad);
    ExpectStats(cache, {.hits = 1, .misses = 1, .loads = 1, .live = 1});
  }
  ExpectStats(cache, {.hits = 1, .misses = 1, .loads = 1, .deaths = 1});
}

TEST(CacheStats, FailedLoads) {
  Cache cache;
  EXPECT_THROW(cache.GetOrCreate(1, [](int) -> int { throw std::runtime_error("torn"); }),
               std::runtime_error);
  ExpectStats(cache, {.misses = 1, .loads = 1, .load_failures = 1});
}

TEST(CacheStats, AsynchronousRequests) {
  Cache cache;
  std::optional<LoadCompletion<int>> completion;
  const auto start = [&](int, LoadContext&, LoadCompletion<int> c) {
    completion.emplace(std::move(c));
  };
  std::vector<StrongRef<int>> got;
  const auto done = [&](absl::StatusOr<StrongRef<int>> r) {
    if (r.ok()) got.push_back(*std::move(r));
  };
  std::stop_source stop;
  cache.StartGetOrCreate(1, start, done, WaitOptions{.stop = stop.get_token()});
  cache.StartGetOrCreate(1, start, done);
  ExpectStats(cache, {.misses = 2, .loads = 1, .loads_shared = 1, .loading = 1});
  stop.request_stop();
  ExpectStats(cache, {.misses = 2, .loads = 1, .loads_shared = 1, .waits_left = 1, .loading = 1});
  completion->Complete(1);
  ExpectStats(cache, {.misses = 2, .loads = 1, .loads_shared = 1, .waits_left = 1, .live = 1});
  cache.StartGetOrCreate(1, start, done);
  ExpectStats(cache,
              {.hits = 1, .misses = 2, .loads = 1, .loads_shared = 1, .waits_left = 1, .live = 1});
}

TEST(CacheStats, SupersededAndInvalidated) {
  Cache cache;
  std::vector<StrongRef<int>> held;
  held.push_back(cache.Insert(1, 1));
  held.push_back(cache.Insert(1, 2));
  ExpectStats(cache, {.superseded = 1, .live = 1});
  EXPECT_TRUE(cache.Invalidate(1));
  EXPECT_FALSE(cache.Invalidate(1));
  ExpectStats(cache, {.superseded = 1, .invalidated = 1});
  held.clear();
  ExpectStats(cache, {.superseded = 1, .invalidated = 1, .deaths = 2});
}

// Each kind of entry that InvalidateAll puts aside leaves the sums right when it goes, in every
// order against the next generation's first entry.
TEST(CacheStats, SizeAfterInvalidateAll) {
  Cache cache(CacheOptions{.shards = 1});
  std::vector<StrongRef<int>> old;
  for (int i = 0; i < 10; ++i) old.push_back(cache.Insert(i, i));
  const StrongRef<int> elsewhere = MakeStrong<int>(1);
  cache.Insert(10, elsewhere);
  EXPECT_EQ(cache.size(), 11u);
  cache.InvalidateAll();
  EXPECT_EQ(cache.size(), 0u);
  old[0].reset();
  EXPECT_EQ(cache.size(), 0u);
  std::vector<StrongRef<int>> fresh;
  fresh.push_back(cache.Insert(100, 1));
  EXPECT_EQ(cache.size(), 1u);
  old[1].reset();
  EXPECT_EQ(cache.size(), 1u);
  fresh.push_back(cache.Insert(2, 2));    // over a stale one
  fresh.push_back(cache.Insert(10, 10));  // over a stale link
  EXPECT_EQ(cache.size(), 3u);
  cache.Invalidate(3);
  EXPECT_EQ(cache.size(), 3u);
  old.clear();
  EXPECT_EQ(cache.size(), 3u);
  fresh.clear();
  EXPECT_EQ(cache.size(), 0u);
}

TEST(CacheStats, SizeWithLoadsThatInvalidateAllMadeStale) {
  Cache cache(CacheOptions{.shards = 1});
  std::vector<LoadCompletion<int>> loads;
  std::vector<StrongRef<int>> got;
  const auto begin = [&](int key) {
    cache.StartGetOrCreate(
        key, [&](int, LoadContext&, LoadCompletion<int> c) { loads.push_back(std::move(c)); },
        [&](absl::StatusOr<StrongRef<int>> r) { got.push_back(*std::move(r)); });
  };
  begin(1);
  begin(2);
  cache.InvalidateAll();
  begin(1);  // over the stale load
  ASSERT_EQ(loads.size(), 3u);
  EXPECT_EQ(cache.Stats().loading, 3u);
  loads[0].Complete(10);
  EXPECT_EQ(cache.size(), 0u);
  loads[2].Complete(11);
  EXPECT_EQ(cache.size(), 1u);
  loads[1].Complete(20);
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_EQ(cache.Stats().loading, 0u);
  got.clear();
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(WeakValueCacheTestPeer::TableCount(cache), 0u);
}

TEST(CacheStats, LinkedObjects) {
  Cache cache;
  StrongRef<int> object = MakeStrong<int>(1);
  cache.Insert(1, object);
  cache.Insert(2, object);
  EXPECT_EQ(cache.size(), 2u);
  cache.Invalidate(1);
  EXPECT_EQ(cache.size(), 1u);
  object.reset();
  EXPECT_EQ(cache.size(), 0u);
}

TEST(CacheStats, LookupsOfManyThreadsAddUp) {
  constexpr int kEach = 500;
  Cache cache;
  const auto object = cache.Insert(1, 1);
  for (int round = 0; round < 20; ++round) {  // more threads than counters have lines
    support::RunThreads(5, [&](int) {
      for (int i = 0; i < kEach; ++i) {
        (void)cache.Find(1);
        (void)cache.Find(2);
      }
    });
  }
  const CacheStats stats = cache.Stats();
  EXPECT_EQ(stats.hits, 100u * kEach);
  EXPECT_EQ(stats.misses, 100u * kEach);
}

TEST(CacheStats, LookupsOfMoreThreadsAtOnceThanCountersHaveLines) {
  Cache cache;
  const auto object = cache.Insert(1, 1);
  support::RunThreads(100, [&](int) {
    for (int i = 0; i < 20; ++i) (void)cache.Find(1);
  });
  EXPECT_EQ(cache.Stats().hits, 2000u);
}

}  // namespace
}  // namespace weakref
