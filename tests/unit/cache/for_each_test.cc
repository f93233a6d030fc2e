// ForEach: what it shows, and what may happen meanwhile.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/probe.h"
#include "tests/support/cache/weak_value_cache_test_peer.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using support::Probe;
using Cache = WeakValueCache<int, Probe>;
using Peer = WeakValueCacheTestPeer;

std::multiset<int> Keys(Cache& cache) {
  std::multiset<int> keys;
  cache.ForEach([&](int key, const StrongRef<Probe>&) { keys.insert(key); });
  return keys;
}

TEST(CacheForEach, EmptyCacheShowsNothing) {
  Cache cache;
  EXPECT_TRUE(Keys(cache).empty());
}

TEST(CacheForEach, ShowsEveryObjectOnceWithItsKey) {
  Cache cache;
  std::map<int, StrongRef<Probe>> held;
  for (int i = 0; i < 1000; ++i) held[i] = cache.Insert(i, Probe(i));
  std::map<int, StrongRef<Probe>> seen;
  cache.ForEach([&](int key, const StrongRef<Probe>& object) {
    EXPECT_TRUE(seen.emplace(key, object).second) << key << " twice";
  });
  EXPECT_EQ(seen, held);
}

TEST(CacheForEach, ShowsWhatFindWouldFindOnly) {
  Cache cache(CacheOptions{.shards = 1});
  const auto stale = cache.Insert(1, Probe(1));
  std::optional<LoadCompletion<Probe>> stale_load;
  cache.StartGetOrCreate(
      2, [&](int, LoadContext&, LoadCompletion<Probe> c) { stale_load.emplace(std::move(c)); },
      [](const auto&) {});
  cache.InvalidateAll();
  std::optional<LoadCompletion<Probe>> load;
  cache.StartGetOrCreate(
      3, [&](int, LoadContext&, LoadCompletion<Probe> c) { load.emplace(std::move(c)); },
      [](const auto&) {});
  const auto superseded = cache.Insert(4, Probe(4));
  const auto current = cache.Insert(4, Probe(44));
  const auto invalidated = cache.Insert(5, Probe(5));
  cache.Invalidate(5);
  const auto linked = cache.Insert(6, MakeStrong<Probe>(6));
  std::map<int, int> seen;
  cache.ForEach([&](int key, const StrongRef<Probe>& object) { seen[key] = object->id(); });
  EXPECT_EQ(seen, (std::map<int, int>{{4, 44}, {6, 6}}));
}

TEST(CacheForEach, ObjectsMayDieMeanwhile) {
  Cache cache(CacheOptions{.shards = 4});
  std::map<int, StrongRef<Probe>> held;
  for (int i = 0; i < 100; ++i) held[i] = cache.Insert(i, Probe(i));
  int shown = 0;
  cache.ForEach([&](int key, const StrongRef<Probe>& object) {
    EXPECT_EQ(object->id(), key) << "alive while it is shown";
    held.clear();
    ++shown;
  });
  EXPECT_GE(shown, 1);
  EXPECT_EQ(Probe::Live(), 0);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

TEST(CacheForEach, ItsReferencesMayBeTheLastOnes) {
  // The destructors run inside ForEach and use the cache: a lock held there would show.
  Cache cache(CacheOptions{.shards = 1});
  int found = 0;
  std::map<int, StrongRef<Probe>> held;
  for (int i = 0; i < 50; ++i) {
    held[i] = cache.Insert(i, Probe(i, [&cache, &found, i] {
                             if (cache.Find(i) != nullptr) ++found;
                             cache.Insert(i + 1000, Probe(i + 1000));
                             cache.Invalidate(i);
                           }));
  }
  cache.ForEach([&](int, const StrongRef<Probe>&) { held.clear(); });
  EXPECT_EQ(found, 0) << "a destructor found its own object";
  EXPECT_EQ(Probe::Live(), 0);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

TEST(CacheForEach, FnMayUseTheCache) {
  Cache cache(CacheOptions{.shards = 2});
  std::vector<StrongRef<Probe>> held;
  for (int i = 0; i < 200; ++i) held.push_back(cache.Insert(i, Probe(i)));
  cache.ForEach([&](int key, const StrongRef<Probe>& object) {
    if (key >= 1000) return;
    EXPECT_EQ(cache.Find(key), object);
    held.push_back(cache.Insert(key + 1000, Probe(key + 1000)));  // the table grows
    if (key % 2 == 0) {
      EXPECT_TRUE(cache.Invalidate(key));
    }
    held.push_back(cache.GetOrCreate(key + 2000, [](int k) { return Probe(k); }));
    cache.ForEach([](int, const StrongRef<Probe>&) {});
    cache.Drain();
  });
  EXPECT_EQ(cache.size(), 500u);
}

TEST(CacheForEach, KeyStaysValidAfterItsEntryIsGone) {
  WeakValueCache<std::string, Probe> cache;
  auto object = cache.Insert("a key that is too long for the small string optimisation", Probe(1));
  cache.ForEach([&](const std::string& key, const StrongRef<Probe>&) {
    cache.Invalidate(key);
    object.reset();
    for (int i = 0; i < 5; ++i) cache.Drain();
    EXPECT_EQ(key, "a key that is too long for the small string optimisation");
  });
}

TEST(CacheForEach, ExceptionOutOfFnKeepsNoReference) {
  Cache cache(CacheOptions{.shards = 1});
  {
    std::vector<StrongRef<Probe>> held;
    for (int i = 0; i < 20; ++i) held.push_back(cache.Insert(i, Probe(i)));
    EXPECT_THROW(
        cache.ForEach([](int, const StrongRef<Probe>&) { throw std::runtime_error("enough"); }),
        std::runtime_error);
    EXPECT_EQ(held[0].use_count(), 1);
    EXPECT_EQ(held[19].use_count(), 1);
  }
  EXPECT_EQ(Probe::Live(), 0);
}

TEST(CacheForEach, ManyEntriesInOneShard) {
  Cache cache(CacheOptions{.shards = 1});
  std::vector<StrongRef<Probe>> held;
  for (int i = 0; i < 20000; ++i) held.push_back(cache.Insert(i, Probe(i)));
  EXPECT_EQ(Keys(cache).size(), 20000u);
}

}  // namespace
}  // namespace weakref
