// One current object per key, made once per absence, gone without a trace: under many threads, and
// with a good hash, a hash that makes all keys collide, and one of 4 bits.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <type_traits>
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

namespace weakref {
namespace {

using Peer = WeakValueCacheTestPeer;

constexpr int kThreads = 4;
constexpr int kKeys = 24;

// Who holds what. A thread enters a reference after it got it and leaves before it drops it, so
// that whatever is entered is held for certain.
class Holders {
 public:
  template <class Object>
  void Enter(const StrongRef<Object>& object) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (count_ == 0) object_ = object.get();
    EXPECT_EQ(object_, object.get()) << "two objects of one key at once";
    ++count_;
  }
  void Leave() {
    const std::lock_guard<std::mutex> lock(mutex_);
    --count_;
  }
  int count() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  const void* object_ = nullptr;
  int count_ = 0;
};

struct Ledger {
  std::array<Holders, kKeys> holders;
  std::array<std::atomic<uint64_t>, kKeys> made{};
  std::array<std::atomic<uint64_t>, kKeys> destroyed{};
};

class Object {
 public:
  Object(Ledger* ledger, int key) : ledger_(ledger), key_(key) { ++ledger->made[key]; }
  Object(Object&& other) noexcept
      : ledger_(std::exchange(other.ledger_, nullptr)), key_(other.key_) {}
  ~Object() {
    if (ledger_ == nullptr) return;
    EXPECT_EQ(canary_, kAlive);
    canary_ = 0;
    ++ledger_->destroyed[key_];
  }
  int key() const { return canary_ == kAlive ? key_ : -1; }

 private:
  static constexpr uint64_t kAlive = 0xa11feed1ca11;
  Ledger* ledger_;
  int key_;
  uint64_t canary_ = kAlive;
};

template <class Hash>
class OneObjectStress : public ::testing::Test {
 public:
  using Cache = WeakValueCache<int, Object, Hash>;
};
using Hashes = ::testing::Types<support::GoodHash, support::ConstantHash, support::FourBitHash>;
TYPED_TEST_SUITE(OneObjectStress, Hashes);

// Oracle. Only GetOrCreate and Find are used, so nothing but the end of an object's last reference
// takes it out of its key's place. Therefore
//   - two references to a key's objects that are held at overlapping times are equal. (Not "one
//     object alive": an object's destructor may run while its successor is made. But what is being
//     destroyed is held by nobody.)
//   - when a loader runs, nobody holds an object of its key;
//   - each run of a loader makes an object and each object dies: runs = destructions, and the
//     cache's own count of loads and deaths agrees;
//   - at rest there is no entry and no memory of one.
TYPED_TEST(OneObjectStress, OneReachableObjectPerKeyMadeOncePerAbsence) {
  const uint64_t seed = support::TestSeed();
  const int rounds = support::ScaledIterations(100000);
  Ledger ledger;
  typename TestFixture::Cache cache(CacheOptions{.shards = 2});
  std::atomic<uint64_t> requests{0};

  const auto load = [&](int key) {
    EXPECT_EQ(ledger.holders[key].count(), 0) << "a load while the key's object is held";
    return Object(&ledger, key);
  };
  support::RunThreads(kThreads, [&](int thread) {
    std::mt19937_64 random(seed + static_cast<uint64_t>(thread));
    struct Held {
      StrongRef<Object> object;
      int key = 0;
    };
    std::array<Held, 4> held;
    uint64_t asked = 0;
    for (int i = 0; i < rounds; ++i) {
      const uint64_t r = random();
      const int key = static_cast<int>((r >> 8) % kKeys);
      Held& place = held[r % held.size()];
      if (place.object != nullptr) {
        ledger.holders[place.key].Leave();
        place.object.reset();
      }
      switch ((r >> 4) % 8) {
        case 0:
          break;
        case 1:
          place.object = cache.Find(key);
          ++asked;
          break;
        case 2:
          cache.StartGetOrCreate(
              key,
              [&](int k, LoadContext&, LoadCompletion<Object> completion) {
                completion.Complete(load(k));
              },
              [&ledger, key](absl::StatusOr<StrongRef<Object>> result) {
                // Later and in another thread, if this joined a blocking load.
                ASSERT_TRUE(result.ok()) << result.status();
                ledger.holders[key].Enter(*result);
                ledger.holders[key].Leave();
              });
          ++asked;
          break;
        default:
          place.object = cache.GetOrCreate(key, load);
          ++asked;
          ASSERT_NE(place.object, nullptr);
          break;
      }
      if (place.object != nullptr) {
        place.key = key;
        ASSERT_EQ(place.object->key(), key);
        ledger.holders[key].Enter(place.object);
      }
    }
    for (Held& place : held) {
      if (place.object != nullptr) ledger.holders[place.key].Leave();
    }
    requests += asked;
  });

  uint64_t made = 0;
  for (int key = 0; key < kKeys; ++key) {
    EXPECT_EQ(ledger.made[key], ledger.destroyed[key]) << key;
    made += ledger.made[key];
  }
  const CacheStats stats = cache.Stats();
  EXPECT_EQ(stats.loads, made);
  EXPECT_EQ(stats.deaths, made);
  EXPECT_EQ(stats.hits + stats.misses, requests);
  EXPECT_EQ(stats.load_failures, 0u);
  EXPECT_EQ(stats.superseded, 0u);
  EXPECT_EQ(stats.loading, 0u);
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
  EXPECT_EQ(Peer::EntriesInBuckets(cache), 0u);
}

// Oracle. An object that is held throughout is found by every Find, whatever happens to the table
// around it: here it grows and shrinks all the time.
TYPED_TEST(OneObjectStress, HeldObjectIsAlwaysFound) {
  constexpr bool kCollides = !std::is_same_v<TypeParam, support::GoodHash>;
  const int rounds = support::ScaledIterations(kCollides ? 60 : 300);
  const int crowd = kCollides ? 60 : 1000;
  Ledger ledger;
  typename TestFixture::Cache cache(CacheOptions{.shards = 1});
  std::vector<StrongRef<Object>> held;
  for (int key = 0; key < kKeys; ++key) held.push_back(cache.Insert(key, Object(&ledger, key)));
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> found{0};
  support::RunThreads(3, [&](int thread) {
    if (thread == 0) {
      for (int i = 0; i < rounds; ++i) {
        std::vector<StrongRef<Object>> others;
        for (int k = 0; k < crowd; ++k) {
          others.push_back(cache.Insert(1000 + k, Object(&ledger, k % kKeys)));
        }
        others.clear();
        for (int k = 0; k < 20; ++k) cache.Drain();  // shrinks, and gives arrays back
      }
      stop = true;
    } else {
      uint64_t n = 0;
      while (!stop) {
        for (int key = 0; key < kKeys; ++key) {
          ASSERT_EQ(cache.Find(key), held[key]) << "missed key " << key;
          ++n;
        }
      }
      found += n;
    }
  });
  EXPECT_EQ(cache.Stats().hits, found);
  EXPECT_EQ(cache.Stats().misses, 0u);
  EXPECT_EQ(cache.size(), static_cast<size_t>(kKeys));
}

// Oracle. After any number of objects of any number of threads, with everything dropped and
// drained, the cache needs as much memory as it did before.
TYPED_TEST(OneObjectStress, MemoryComesBackAtRest) {
  const uint64_t seed = support::TestSeed();
  Ledger ledger;
  typename TestFixture::Cache cache(CacheOptions{.shards = 2});
  const auto round = [&](int iterations) {
    support::RunThreads(kThreads, [&](int thread) {
      std::mt19937_64 random(seed + static_cast<uint64_t>(thread));
      std::vector<StrongRef<Object>> held(20);
      for (int i = 0; i < iterations; ++i) {
        const uint64_t r = random();
        const int key = static_cast<int>((r >> 8) % kKeys);
        held[r % held.size()] =
            (r >> 40) % 4 == 0 ? cache.Insert(key, Object(&ledger, key))
                               : cache.GetOrCreate(key, [&](int k) { return Object(&ledger, k); });
        if ((r >> 42) % 16 == 0) cache.Invalidate(key);
        if ((r >> 46) % 256 == 0) cache.InvalidateAll();
      }
    });
    for (int i = 0; i < 3; ++i) cache.Drain();
  };
  round(2000);
  const int64_t before = support::LiveBytes();
  round(support::ScaledIterations(50000));
  EXPECT_LE(support::LiveBytes() - before, 96 << 10);
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(Peer::EntriesInBuckets(cache), 0u);
  for (int key = 0; key < kKeys; ++key) EXPECT_EQ(ledger.made[key], ledger.destroyed[key]) << key;
}

// Oracle. A bounded pool of threads comes and goes: counters, slots and limbo survive their
// threads, and references may be dropped by a thread other than the one that got them.
TYPED_TEST(OneObjectStress, ThreadsComeAndGo) {
  const int rounds = support::ScaledIterations(300);
  Ledger ledger;
  typename TestFixture::Cache cache(CacheOptions{.shards = 1});
  std::vector<StrongRef<Object>> left_over;
  std::mutex mutex;
  for (int i = 0; i < rounds; ++i) {
    support::RunThreads(3, [&](int thread) {
      StrongRef<Object> inherited;
      {
        const std::lock_guard<std::mutex> lock(mutex);
        if (!left_over.empty()) {
          inherited = std::move(left_over.back());
          left_over.pop_back();
        }
      }
      for (int k = 0; k < 10; ++k) {
        const int key = (i + thread + k) % kKeys;
        auto object = cache.GetOrCreate(key, [&](int n) { return Object(&ledger, n); });
        ASSERT_EQ(object->key(), key);
        const std::lock_guard<std::mutex> lock(mutex);
        if (left_over.size() < 10) left_over.push_back(std::move(object));
      }
    });
  }
  left_over.clear();
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(cache.Stats().loads, cache.Stats().deaths);
  EXPECT_EQ(Peer::EntriesInBuckets(cache), 0u);
}

}  // namespace
}  // namespace weakref
