// Memory: what comes back, when, and how much an entry costs. Growing and shrinking.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/allocations.h"
#include "tests/support/cache/await_that.h"
#include "tests/support/cache/weak_value_cache_test_peer.h"
#include "tests/support/gate.h"
#include "tests/support/stress_scale.h"

namespace weakref {
namespace {

using support::AwaitThat;
using support::Gate;
using Peer = WeakValueCacheTestPeer;

TEST(CacheMemory, KeyOfADeadEntryDiesWithDrain) {
  struct Counted {
    explicit Counted(int n) : number(n) { Live().fetch_add(1); }
    Counted(const Counted&) = delete;
    ~Counted() { Live().fetch_sub(1); }
    static std::atomic<int>& Live() {
      static std::atomic<int> live{0};
      return live;
    }
    int number;
  };
  struct Hash {
    size_t operator()(int n) const { return static_cast<size_t>(n); }
  };
  struct Equal {
    bool operator()(const Counted& key, int n) const { return key.number == n; }
  };
  WeakValueCache<Counted, int, Hash, Equal> cache;
  std::vector<StrongRef<int>> held;
  for (int i = 0; i < 100; ++i) held.push_back(cache.Insert(i, i));
  EXPECT_EQ(Counted::Live(), 100);
  held.clear();
  cache.Drain();
  EXPECT_EQ(Counted::Live(), 0);
}

TEST(CacheMemory, KeyDestructorMayUseACache) {
  using Inner = WeakValueCache<int, int>;
  struct Seed {
    Inner* cache;
    int number;
  };
  struct Key {
    explicit Key(const Seed& seed) : cache(seed.cache), number(seed.number) {}
    Key(const Key&) = delete;
    ~Key() {
      const StrongRef<int> object = cache->Insert(number, number);
      EXPECT_EQ(cache->Find(number), object);
      cache->Drain();
    }
    Inner* cache;
    int number;
  };
  struct Hash {
    size_t operator()(const Seed& seed) const { return static_cast<size_t>(seed.number); }
  };
  struct Equal {
    bool operator()(const Key& key, const Seed& seed) const { return key.number == seed.number; }
  };
  Inner inner;
  WeakValueCache<Key, int, Hash, Equal> cache;
  for (int i = 0; i < 10; ++i) cache.Insert(Seed{&inner, i}, i);
  cache.Drain();
  EXPECT_EQ(inner.Stats().hits, 10u);
}

TEST(CacheMemory, ChurnStaysBoundedWithoutDrain) {
  WeakValueCache<int, std::string> cache(CacheOptions{.shards = 1});
  const auto churn = [&](int n) {
    for (int i = 0; i < n; ++i) cache.Insert(i, std::string(100, 'x')).reset();
  };
  churn(20000);
  const int64_t before = support::LiveBytes();
  churn(100000);
  EXPECT_LE(support::LiveBytes() - before, 4 << 20) << "the dead pile up";
}

TEST(CacheMemory, ComesBackAfterDrain) {
  WeakValueCache<int, std::string> cache(CacheOptions{.shards = 4});
  const auto use = [&] {
    std::vector<StrongRef<std::string>> held;
    for (int i = 0; i < 10000; ++i) held.push_back(cache.Insert(i, std::string(100, 'x')));
  };
  use();
  cache.Drain();
  const int64_t before = support::LiveBytes();
  for (int i = 0; i < 5; ++i) use();
  cache.Drain();
  EXPECT_LE(support::LiveBytes() - before, 128 << 10);
}

TEST(CacheMemory, SmallEntryIsOneCacheLine) {
  struct Value {
    char bytes[24];
  };
  WeakValueCache<uint64_t, Value> cache;
  EXPECT_EQ(Peer::EntryBytes(cache), 64u);
}

// Grows, is right at every size, and shrinks while it is used.
TEST(CacheMemory, GrowsToAMillionAndShrinks) {
  const int n = support::ScaledIterations(1000000);
  WeakValueCache<int, int> cache;
  std::vector<StrongRef<int>> held;
  held.reserve(n);
  for (int i = 0; i < n; ++i) {
    held.push_back(cache.GetOrCreate(i, [](int key) { return key; }));
    if (i % 9973 == 0) {
      for (int k = 0; k < i; k += 1 + i / 50) ASSERT_EQ(cache.Find(k), held[k]);
    }
  }
  EXPECT_EQ(cache.size(), static_cast<size_t>(n));
  EXPECT_EQ(Peer::TableCount(cache), static_cast<size_t>(n));
  EXPECT_EQ(Peer::EntriesInBuckets(cache), static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) ASSERT_EQ(cache.Find(i), held[i]);
  const size_t grown = Peer::ArrayBytes(cache);

  const int kept = n / 100;
  for (int i = n - 1; i >= kept; --i) held[i].reset();
  EXPECT_EQ(cache.size(), static_cast<size_t>(kept));
  for (int i = 0; i < kept; ++i) ASSERT_EQ(cache.Find(i), held[i]);
  for (int i = kept; i < n; i += 101) ASSERT_EQ(cache.Find(i), nullptr);
  // Use shrinks it, in steps.
  for (int i = 0; i < n; ++i) cache.Insert(n + i % 1000, i).reset();
  EXPECT_LE(Peer::ArrayBytes(cache), grown / 16);
  for (int i = 0; i < kept; ++i) ASSERT_EQ(cache.Find(i), held[i]);
  held.clear();
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(Peer::EntriesInBuckets(cache), 0u);
}

// Two threads find the slab empty and both bring a chunk; the second one's must not be lost.
Gate* chunk_gate = nullptr;
std::atomic<int> chunks{0};
void HoldFirstChunk(size_t size, size_t align) {
  if (align == 8192 && size > 4096 && chunks.fetch_add(1) == 0) chunk_gate->Wait();
}

TEST(CacheMemory, ChunkThatTwoThreadsBringAtOnceIsNotLost) {
  WeakValueCache<int, int> any;
  const auto settle = [&] {
    for (int i = 0; i < 3; ++i) any.Drain();
  };
  const auto round = [](bool at_once) {
    WeakValueCache<int, std::string> cache(CacheOptions{.shards = 1});
    Gate gate("chunk");
    chunk_gate = &gate;
    chunks = 0;
    if (at_once) support::SetAlignedAllocationHook(&HoldFirstChunk);
    std::thread first([&] { cache.Insert(1, std::string("first")).reset(); });
    if (at_once) AwaitThat([] { return chunks == 1; });
    cache.Insert(2, std::string("second")).reset();
    gate.Open();
    first.join();
    support::SetAlignedAllocationHook(nullptr);
    if (at_once) {
      EXPECT_EQ(chunks, 2);
    }
  };
  for (int i = 0; i < 3; ++i) round(false);
  settle();
  const int64_t before = support::LiveBytes();
  for (int i = 0; i < 10; ++i) round(true);
  settle();
  EXPECT_LT(support::LiveBytes() - before, 8000);
}

}  // namespace
}  // namespace weakref
