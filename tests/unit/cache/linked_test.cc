// Objects that exist elsewhere: the cache lists them, and is not what keeps their memory.

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/allocations.h"
#include "tests/support/cache/probe.h"
#include "tests/support/cache/weak_value_cache_test_peer.h"
#include "weakref/enable_strong_from_this.h"
#include "weakref/expiry_callback.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using support::Probe;
using Cache = WeakValueCache<int, Probe>;
using Peer = WeakValueCacheTestPeer;

TEST(CacheLinked, TheSameObjectIsFound) {
  Cache cache;
  const StrongRef<Probe> object = MakeStrong<Probe>(1);
  EXPECT_EQ(cache.Insert(1, object), object);
  const StrongRef<Probe> found = cache.Find(1);
  EXPECT_EQ(found, object);
  EXPECT_TRUE(found.owner_equal(object));
  EXPECT_EQ(object.use_count(), 2);
}

TEST(CacheLinked, EntryLeavesWhenTheObjectDies) {
  Cache cache;
  StrongRef<Probe> object = MakeStrong<Probe>(1);
  cache.Insert(1, object);
  object.reset();
  EXPECT_EQ(Probe::Live(), 0);
  EXPECT_EQ(cache.Find(1), nullptr);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

TEST(CacheLinked, EntryLeavesBeforeTheDestructorRuns) {
  Cache cache;
  size_t entries = 99;
  StrongRef<Probe> object = MakeStrong<Probe>(1, [&] { entries = Peer::TableCount(cache); });
  cache.Insert(1, object);
  object.reset();
  EXPECT_EQ(entries, 0u);
}

TEST(CacheLinked, UnderManyKeys) {
  Cache cache;
  StrongRef<Probe> object = MakeStrong<Probe>(1);
  for (int i = 0; i < 1000; ++i) cache.Insert(i, object);
  EXPECT_EQ(cache.size(), 1000u);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(cache.Find(i), object);
  EXPECT_EQ(object.use_count(), 1);
  for (int i = 0; i < 1000; i += 2) EXPECT_TRUE(cache.Invalidate(i));
  EXPECT_EQ(cache.size(), 500u);
  object.reset();
  EXPECT_EQ(Probe::Live(), 0);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

TEST(CacheLinked, InManyCaches) {
  std::vector<std::unique_ptr<Cache>> caches;
  StrongRef<Probe> object = MakeStrong<Probe>(1);
  for (int i = 0; i < 20; ++i) {
    caches.push_back(std::make_unique<Cache>());
    caches.back()->Insert(1, object);
  }
  for (int i = 0; i < 20; i += 2) caches[i].reset();
  for (int i = 1; i < 20; i += 2) EXPECT_EQ(caches[i]->Find(1), object);
  object.reset();
  EXPECT_EQ(Probe::Live(), 0);
  for (int i = 1; i < 20; i += 2) EXPECT_EQ(Peer::TableCount(*caches[i]), 0u);
}

TEST(CacheLinked, ObjectOfAnotherCache) {
  Cache home;
  Cache other;
  StrongRef<Probe> object = home.Insert(1, Probe(1));
  other.Insert(2, object);
  EXPECT_EQ(other.Find(2), object);
  EXPECT_EQ(home.Find(1), object);
  home.Invalidate(1);
  EXPECT_EQ(other.Find(2), object) << "another cache's entry is its own";
  object.reset();
  EXPECT_EQ(Probe::Live(), 0);
  EXPECT_EQ(Peer::TableCount(other), 0u);
}

TEST(CacheLinked, ObjectOfAnotherCacheThatHasEnded) {
  Cache other;
  auto home = std::make_unique<Cache>();
  StrongRef<Probe> object = home->Insert(1, Probe(1));
  other.Insert(2, object);
  home.reset();
  EXPECT_EQ(other.Find(2), object);
  object.reset();
  EXPECT_EQ(Probe::Live(), 0);
  EXPECT_EQ(Peer::TableCount(other), 0u);
}

TEST(CacheLinked, ObjectOfTheSameCacheUnderAnotherKey) {
  Cache cache(CacheOptions{.shards = 1});
  StrongRef<Probe> object = cache.Insert(1, Probe(1));
  cache.Insert(2, object);
  cache.Insert(3, cache.Find(2));
  EXPECT_EQ(cache.Find(2), object);
  EXPECT_EQ(cache.Find(3), object);
  EXPECT_EQ(cache.size(), 3u);
  object.reset();
  EXPECT_EQ(Probe::Live(), 0);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

TEST(CacheLinked, ObjectOverItself) {
  Cache cache(CacheOptions{.shards = 1});
  StrongRef<Probe> object = cache.Insert(1, Probe(1));
  for (int i = 0; i < 3; ++i) {
    cache.Insert(1, object);
    EXPECT_EQ(cache.Find(1), object);
    EXPECT_EQ(cache.size(), 1u);
  }
  object.reset();
  EXPECT_EQ(Probe::Live(), 0);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

TEST(CacheLinked, LoaderThatReturnsAnotherCachesObject) {
  Cache home;
  Cache other;
  StrongRef<Probe> object =
      other.GetOrCreate(2, [&](int) { return home.GetOrCreate(1, [](int) { return Probe(1); }); });
  EXPECT_EQ(home.Find(1), object);
  EXPECT_EQ(other.Find(2), object);
  object.reset();
  EXPECT_TRUE(home.empty());
  EXPECT_TRUE(other.empty());
}

TEST(CacheLinked, AliasIsFoundAsAnAlias) {
  struct Pair {
    int first = 1;
    int second = 2;
  };
  WeakValueCache<int, int> cache;
  StrongRef<Pair> owner = MakeStrong<Pair>();
  cache.Insert(1, StrongRef<int>(owner, &owner->second));
  const StrongRef<int> found = cache.Find(1);
  EXPECT_EQ(found.get(), &owner->second);
  EXPECT_TRUE(found.owner_equal(owner));
}

TEST(CacheLinked, ObjectWithItsOwnDeleter) {
  WeakValueCache<int, int> cache;
  int deleted = 0;
  {
    const StrongRef<int> object(new int(1), [&](int* p) {
      ++deleted;
      EXPECT_EQ(cache.Find(1), nullptr);
      delete p;
    });
    cache.Insert(1, object);
    EXPECT_EQ(cache.Find(1), object);
  }
  EXPECT_EQ(deleted, 1);
}

TEST(CacheLinked, DerivedObjectInACacheOfItsBase) {
  struct Base {
    virtual ~Base() = default;
    virtual int Id() const { return 0; }
  };
  struct Padding {
    virtual ~Padding() = default;
    int padding = 0;
  };
  struct Derived : Padding, Base {
    int Id() const override { return 7; }
  };
  WeakValueCache<int, Base> cache;
  const StrongRef<Derived> object = MakeStrong<Derived>();
  cache.Insert(1, StrongRef<Base>(object));
  EXPECT_EQ(cache.Find(1)->Id(), 7);
  EXPECT_EQ(cache.Find(1), object);
}

TEST(CacheLinked, StrongFromThisIsTheCachesObject) {
  struct Session : EnableStrongFromThis<Session> {};
  WeakValueCache<int, Session> cache;
  const auto session = cache.GetOrCreate(1, [](int) { return MakeStrong<Session>(); });
  EXPECT_EQ(session->strong_from_this(), cache.Find(1));
}

TEST(CacheLinked, LateDeathKeepsItsSuccessor) {
  Cache cache;
  StrongRef<Probe> old = MakeStrong<Probe>(1);
  cache.Insert(1, old);
  const StrongRef<Probe> fresh = cache.Insert(1, MakeStrong<Probe>(2));
  old.reset();
  EXPECT_EQ(cache.Find(1), fresh);
  EXPECT_EQ(cache.size(), 1u);
}

TEST(CacheLinked, CallbacksOfTheObjectRunAfterItsEntriesHaveLeft) {
  Cache cache;
  StrongRef<Probe> object = MakeStrong<Probe>(1);
  size_t entries = 99;
  const ExpiryCallback before(object,
                              [&](const WeakRef<Probe>&) { entries = Peer::TableCount(cache); });
  cache.Insert(1, object);
  cache.Insert(2, object);
  object.reset();
  EXPECT_EQ(entries, 0u);
}

// ---- bounded memory of what hangs on an object that lives long ----

template <class Round>
void ExpectBounded(int rounds, Round round) {
  Cache any(CacheOptions{.shards = 1});
  const auto settle = [&] {
    for (int i = 0; i < 3; ++i) any.Drain();
  };
  for (int i = 0; i < 2000; ++i) round(i);
  settle();
  const int64_t before = support::LiveBytes();
  for (int i = 0; i < rounds; ++i) round(i);
  settle();
  EXPECT_LE(support::LiveBytes() - before, 256 << 10);
}

TEST(CacheLinkedMemory, ReinsertedUnderOneKey) {
  Cache cache(CacheOptions{.shards = 1});
  const StrongRef<Probe> object = MakeStrong<Probe>(1);
  ExpectBounded(100000, [&](int) { cache.Insert(1, object); });
  EXPECT_EQ(cache.Find(1), object);
}

TEST(CacheLinkedMemory, InvalidatedAndReinserted) {
  Cache cache(CacheOptions{.shards = 1});
  const StrongRef<Probe> object = MakeStrong<Probe>(1);
  ExpectBounded(100000, [&](int i) {
    cache.Insert(i, object);
    EXPECT_TRUE(cache.Invalidate(i));
  });
}

TEST(CacheLinkedMemory, ObjectOfAnotherCacheInvalidatedAndReinserted) {
  Cache home;
  Cache cache(CacheOptions{.shards = 1});
  const StrongRef<Probe> object = home.Insert(1, Probe(1));
  ExpectBounded(100000, [&](int i) {
    cache.Insert(i, object);
    EXPECT_TRUE(cache.Invalidate(i));
  });
}

TEST(CacheLinkedMemory, StaleAndReinserted) {
  Cache cache(CacheOptions{.shards = 1});
  const StrongRef<Probe> object = MakeStrong<Probe>(1);
  ExpectBounded(100000, [&](int) {
    cache.Insert(1, object);
    cache.InvalidateAll();
  });
}

TEST(CacheLinkedMemory, InCachesThatCameAndWent) {
  const StrongRef<Probe> object = MakeStrong<Probe>(1);
  ExpectBounded(2000, [&](int) {
    Cache cache(CacheOptions{.shards = 1});
    cache.Insert(1, object);
  });
}

TEST(CacheLinkedMemory, ReloadedAgainAndAgain) {
  Cache cache(CacheOptions{.shards = 1});
  const StrongRef<Probe> object = MakeStrong<Probe>(1);
  ExpectBounded(50000, [&](int) {
    cache.GetOrCreate(1, [&](int) { return object; });
    cache.Invalidate(1);
  });
}

TEST(CacheLinkedMemory, ReloadedAndFencedAgainAndAgain) {
  Cache cache(CacheOptions{.shards = 1});
  const StrongRef<Probe> object = MakeStrong<Probe>(1);
  ExpectBounded(50000, [&](int) {
    cache.GetOrCreate(1, [&](int key) {
      cache.Invalidate(key);
      return object;
    });
  });
}

TEST(CacheLinkedMemory, WithCallbacksThatComeAndGo) {
  Cache cache(CacheOptions{.shards = 1});
  const StrongRef<Probe> object = MakeStrong<Probe>(1);
  ExpectBounded(50000, [&](int i) {
    cache.Insert(i % 3, object);
    ExpiryCallback callback(object, [](const WeakRef<Probe>&) {});
    cache.Invalidate(i % 3);
  });
}

}  // namespace
}  // namespace weakref
