// Objects that several caches list, while the objects, the callbacks on them and the caches end.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/allocations.h"
#include "tests/support/cache/hashes.h"
#include "tests/support/cache/weak_value_cache_test_peer.h"
#include "tests/support/run_threads.h"
#include "tests/support/stress_scale.h"
#include "tests/support/test_seed.h"
#include "weakref/expiry_callback.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using Peer = WeakValueCacheTestPeer;

struct Object {
  explicit Object(int n) : number(n) { ++Live(); }
  Object(Object&& other) noexcept : number(std::exchange(other.number, -1)) {}
  ~Object() {
    if (number >= 0) --Live();
  }
  static std::atomic<int>& Live() {
    static std::atomic<int> live{0};
    return live;
  }
  int number;
};
using Cache = WeakValueCache<int, Object>;

// Oracle. Entries of one long-lived object leave two caches (Invalidate, supersession) while other
// threads make the object sweep what has left (by registering callbacks) and give it back: no
// access comes too late (sanitizers), what is current is found, what is kept stays bounded.
TEST(LinkedStress, EntriesLeaveWhileTheirObjectSweeps) {
  const uint64_t seed = support::TestSeed();
  const int rounds = support::ScaledIterations(40000);
  for (const bool cached : {false, true}) {
    Cache home;
    const StrongRef<Object> object = cached ? home.Insert(0, Object(1)) : MakeStrong<Object>(1);
    Cache a(CacheOptions{.shards = 1});
    Cache b(CacheOptions{.shards = 2});
    const auto work = [&](int iterations) {
      support::RunThreads(4, [&](int thread) {
        std::mt19937_64 random(seed + static_cast<uint64_t>(thread));
        for (int i = 0; i < iterations; ++i) {
          const uint64_t r = random();
          Cache& cache = (r & 1) == 0 ? a : b;
          const int key = static_cast<int>((r >> 8) % 8);
          switch ((r >> 1) % 8) {
            case 0:
            case 1:
            case 2:
              cache.Insert(key, object);
              break;
            case 3:
            case 4:
              cache.Invalidate(key);
              break;
            case 5: {
              const ExpiryCallback callback(object, [](const WeakRef<Object>&) { FAIL(); });
              break;
            }
            case 6: {
              const StrongRef<Object> found = cache.Find(key);
              if (found != nullptr) {
                ASSERT_EQ(found, object);
              }
              break;
            }
            default:
              if ((r >> 20) % 8 == 0) cache.Drain();
          }
        }
      });
      for (int key = 0; key < 8; ++key) {
        a.Invalidate(key);
        b.Invalidate(key);
      }
      for (int i = 0; i < 3; ++i) a.Drain();
    };
    work(rounds / 10);
    const int64_t before = support::LiveBytes();
    work(rounds);
    EXPECT_LE(support::LiveBytes() - before, 256 << 10);
    EXPECT_EQ(Peer::EntriesInBuckets(a), 0u);
    EXPECT_EQ(Peer::EntriesInBuckets(b), 0u);
  }
  EXPECT_EQ(Object::Live(), 0);
}

// Oracle. As above, with whole caches that end: the object's sweep must not give an entry back
// while the cache's end still looks at it. Entries are large, so that each is freed on its own, as
// soon as it is given back.
TEST(LinkedStress, CachesEndWhileTheirObjectsSweep) {
  struct Large {
    char bytes[4096];
  };
  const int rounds = support::ScaledIterations(3000);
  const StrongRef<Large> object = MakeStrong<Large>();
  std::atomic<bool> stop{false};
  support::RunThreads(3, [&](int thread) {
    if (thread == 0) {
      for (int i = 0; i < rounds; ++i) {
        WeakValueCache<int, Large> cache(CacheOptions{.shards = 1});
        for (int key = 0; key < 100; ++key) cache.Insert(key, object);
      }
      stop = true;
    } else if (thread == 1) {
      while (!stop) {
        const ExpiryCallback callback(object, [](const WeakRef<Large>&) { FAIL(); });
      }
    } else {
      Cache any(CacheOptions{.shards = 1});
      while (!stop) any.Drain();
    }
  });
  EXPECT_EQ(object.use_count(), 1);
}

// Oracle. Objects that two caches list die while both are looked up, replaced and ended. A lookup
// gives a live object of the number that was inserted last, or nothing; every object dies; at rest
// nothing is left.
TEST(LinkedStress, ObjectsDieInSeveralCachesAtOnce) {
  const uint64_t seed = support::TestSeed();
  const int rounds = support::ScaledIterations(30000);
  {
    Cache a(CacheOptions{.shards = 1});
    Cache b(CacheOptions{.shards = 2});
    support::RunThreads(4, [&](int thread) {
      std::mt19937_64 random(seed + static_cast<uint64_t>(thread));
      std::vector<StrongRef<Object>> held(3);
      for (int i = 0; i < rounds; ++i) {
        const uint64_t r = random();
        Cache& from = (r & 1) == 0 ? a : b;
        Cache& to = (r & 2) == 0 ? a : b;
        const int key = static_cast<int>((r >> 8) % 6);
        StrongRef<Object>& place = held[(r >> 2) % held.size()];
        switch ((r >> 4) % 8) {
          case 0:
            place = MakeStrong<Object>(key);
            to.Insert(key, place);
            break;
          case 1:
            place = from.Insert(key, Object(key));
            break;
          case 2:
          case 3:
            // The same key's object of the other cache, or of itself.
            place = to.GetOrCreate(key, [&](int k) {
              StrongRef<Object> object = from.Find(k);
              return object != nullptr ? object : MakeStrong<Object>(k);
            });
            break;
          case 4:
            to.Invalidate(key);
            break;
          case 5:
            if ((r >> 20) % 64 == 0) to.InvalidateAll();
            break;
          default:
            place = to.Find(key);
        }
        if (place != nullptr) {
          ASSERT_GE(place->number, 0);
          ASSERT_LT(place->number, 6);
        }
      }
    });
    EXPECT_EQ(Object::Live(), 0);
    EXPECT_EQ(Peer::EntriesInBuckets(a), 0u);
    EXPECT_EQ(Peer::EntriesInBuckets(b), 0u);
    EXPECT_EQ(a.size(), 0u);
    EXPECT_EQ(b.size(), 0u);
  }
}

}  // namespace
}  // namespace weakref
