// ExpiryCallback on objects that live in a cache, whose shard lists their callbacks.

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/allocations.h"
#include "tests/support/cache/probe.h"
#include "tests/support/cache/weak_value_cache_test_peer.h"
#include "tests/support/run_threads.h"
#include "weakref/expiry_callback.h"

namespace weakref {
namespace {

using support::Probe;
using Cache = WeakValueCache<int, Probe>;
using Peer = WeakValueCacheTestPeer;

TEST(CacheExpiry, RunsOnceAfterTheDestructor) {
  Cache cache;
  std::string order;
  StrongRef<Probe> object = cache.Insert(1, Probe(1, [&] { order += "destructor "; }));
  const ExpiryCallback callback(object, [&](const WeakRef<Probe>& dead) {
    EXPECT_TRUE(dead.expired());
    order += "callback ";
  });
  EXPECT_TRUE(callback.registered());
  object.reset();
  EXPECT_EQ(order, "destructor callback ");
  EXPECT_FALSE(callback.registered());
}

TEST(CacheExpiry, NewestFirst) {
  Cache cache;
  std::string order;
  StrongRef<Probe> object = cache.Insert(1, Probe(1));
  std::vector<ExpiryCallback> callbacks;
  for (char c : std::string("abcde")) {
    callbacks.emplace_back(object, [&order, c](const WeakRef<Probe>&) { order += c; });
  }
  callbacks[2].Unregister();
  object.reset();
  EXPECT_EQ(order, "edba");
}

TEST(CacheExpiry, ObjectsOfOneShardHaveTheirOwn) {
  Cache cache(CacheOptions{.shards = 1});
  std::vector<StrongRef<Probe>> objects;
  std::vector<ExpiryCallback> callbacks;
  std::vector<int> ran(100, 0);
  for (int i = 0; i < 100; ++i) {
    objects.push_back(cache.Insert(i, Probe(i)));
    callbacks.emplace_back(objects.back(), [&ran, i](const WeakRef<Probe>&) { ++ran[i]; });
  }
  for (int i = 0; i < 100; i += 2) objects[i].reset();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ran[i], i % 2 == 0 ? 1 : 0);
  // Memory of the dead is used again: their callbacks must not come back.
  cache.Drain();
  for (int i = 0; i < 100; i += 2) cache.Insert(i, Probe(i));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ran[i], i % 2 == 0 ? 1 : 0);
}

TEST(CacheExpiry, SupersededInvalidatedAndStaleObjectsKeepTheirs) {
  Cache cache;
  int ran = 0;
  std::vector<ExpiryCallback> callbacks;
  std::vector<StrongRef<Probe>> objects;
  const auto watch = [&](StrongRef<Probe> object) {
    callbacks.emplace_back(object, [&](const WeakRef<Probe>&) { ++ran; });
    objects.push_back(std::move(object));
  };
  watch(cache.Insert(1, Probe(1)));
  watch(cache.Insert(1, Probe(2)));
  cache.Invalidate(1);
  watch(cache.Insert(1, Probe(3)));
  cache.InvalidateAll();
  objects.clear();
  EXPECT_EQ(ran, 3);
}

TEST(CacheExpiry, OutlivesTheCache) {
  auto cache = std::make_unique<Cache>();
  int ran = 0;
  StrongRef<Probe> object = cache->Insert(1, Probe(1));
  const ExpiryCallback before(object, [&](const WeakRef<Probe>&) { ++ran; });
  cache.reset();
  const ExpiryCallback after(object, [&](const WeakRef<Probe>&) { ++ran; });
  object.reset();
  EXPECT_EQ(ran, 2);
}

TEST(CacheExpiry, CallbackMayUseTheCache) {
  Cache cache(CacheOptions{.shards = 1});
  StrongRef<Probe> successor;
  StrongRef<Probe> object = cache.Insert(1, Probe(1));
  const ExpiryCallback callback(object, [&](const WeakRef<Probe>&) {
    EXPECT_EQ(cache.Find(1), nullptr);
    successor = cache.GetOrCreate(1, [](int) { return Probe(2); });
  });
  object.reset();
  EXPECT_EQ(cache.Find(1), successor);
  EXPECT_EQ(successor->id(), 2);
}

TEST(CacheExpiry, WeakReferenceCountTellsOfCallbacks) {
  Cache cache;
  const StrongRef<Probe> object = cache.Insert(1, Probe(1));
  EXPECT_EQ(GetWeakRefCount(object), 0u);
  const WeakRef<Probe> weak(object);
  ExpiryCallback callback(object, [](const WeakRef<Probe>&) {});
  EXPECT_EQ(GetWeakRefCount(object), 2u);
  callback.Unregister();
  EXPECT_EQ(GetWeakRefCount(object), 1u);
}

TEST(CacheExpiry, RegisteringAndUnregisteringStaysBounded) {
  Cache cache;
  const StrongRef<Probe> object = cache.Insert(1, Probe(1));
  int ran = 0;
  std::vector<ExpiryCallback> lasting;
  for (int i = 0; i < 20; ++i) {
    lasting.emplace_back(object, [&](const WeakRef<Probe>&) { ++ran; });
  }
  const auto come_and_go = [&] {
    ExpiryCallback callback(object, [](const WeakRef<Probe>&) {});
    EXPECT_TRUE(callback.Unregister());
  };
  for (int i = 0; i < 1000; ++i) come_and_go();
  const int64_t before = support::LiveBytes();
  for (int i = 0; i < 10000; ++i) come_and_go();
  EXPECT_LE(support::LiveBytes() - before, 32 << 10);
  StrongRef<Probe> last = object;
  const_cast<StrongRef<Probe>&>(object).reset();
  last.reset();
  EXPECT_EQ(ran, 20) << "sweeping lost a live callback";
}

TEST(CacheExpiry, RegisteredFromManyThreads) {
  Cache cache(CacheOptions{.shards = 1});
  StrongRef<Probe> object = cache.Insert(1, Probe(1));
  std::atomic<int> ran{0};
  std::vector<std::vector<ExpiryCallback>> kept(4);
  support::RunThreads(4, [&](int thread) {
    for (int i = 0; i < 200; ++i) {
      ExpiryCallback callback(object, [&](const WeakRef<Probe>&) { ++ran; });
      if (i % 4 == 0) kept[thread].push_back(std::move(callback));
    }
  });
  object.reset();
  EXPECT_EQ(ran, 4 * 50);
}

}  // namespace
}  // namespace weakref
