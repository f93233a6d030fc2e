// Insert, Invalidate, InvalidateAll: what they do beyond the cells of contract_test.cc.

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/allocations.h"
#include "tests/support/cache/await_that.h"
#include "tests/support/cache/probe.h"
#include "tests/support/cache/weak_value_cache_test_peer.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using support::AwaitThat;
using support::Probe;
using Peer = WeakValueCacheTestPeer;

TEST(CacheInsert, ReturnsTheObjectThatFindGives) {
  WeakValueCache<std::string, std::string> cache;
  const StrongRef<std::string> object = cache.Insert("key", "value");
  EXPECT_EQ(*object, "value");
  EXPECT_EQ(cache.Find("key"), object);
  EXPECT_EQ(object.use_count(), 1);
}

TEST(CacheInsert, UnusedObjectDiesAtOnce) {
  WeakValueCache<int, Probe> cache;
  cache.Insert(1, Probe(1));
  EXPECT_EQ(Probe::Live(), 0);
  EXPECT_EQ(cache.Find(1), nullptr);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

TEST(CacheInsert, NullReferenceIsAnError) {
  WeakValueCache<int, int> cache;
  const StrongRef<int> live = cache.Insert(1, 1);
  try {
    cache.Insert(1, StrongRef<int>());
    FAIL() << "nothing thrown";
  } catch (const CacheError& error) {
    EXPECT_EQ(error.code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(cache.Find(1), live) << "nothing has changed";
}

TEST(CacheInsert, SupersededObjectsDieLateInAnyOrder) {
  WeakValueCache<int, int> cache;
  std::vector<StrongRef<int>> held;
  for (int i = 0; i < 10; ++i) held.push_back(cache.Insert(1, i));
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_EQ(Peer::TableCount(cache), 1u);
  for (int i : {4, 0, 8, 2}) {
    held[i].reset();
    EXPECT_EQ(cache.Find(1), held[9]);
  }
  held[9].reset();  // the current one: older ones do not come back
  EXPECT_EQ(cache.Find(1), nullptr);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
  EXPECT_EQ(*held[7], 7);
}

TEST(CacheInsert, ThrowingValueChangesNothing) {
  struct Picky {
    explicit Picky(int n) : number(n) {}
    Picky(Picky&& other) : number(other.number) {
      if (number < 0) throw std::runtime_error("picky");
    }
    int number;
  };
  WeakValueCache<int, Picky> cache;
  const StrongRef<Picky> live = cache.Insert(1, Picky(1));
  EXPECT_THROW(cache.Insert(1, Picky(-1)), std::runtime_error);
  EXPECT_THROW(cache.Insert(2, Picky(-1)), std::runtime_error);
  EXPECT_EQ(cache.Find(1), live);
  EXPECT_EQ(cache.Find(2), nullptr);
  EXPECT_EQ(Peer::TableCount(cache), 1u);
}

TEST(CacheInsert, ThrowingKeyChangesNothing) {
  struct Key {
    explicit Key(int n) : number(n) {
      if (n < 0) throw std::runtime_error("picky");
    }
    int number;
  };
  struct Hash {
    size_t operator()(int) const { return 1; }
  };
  struct Equal {
    bool operator()(const Key& key, int n) const { return key.number == n; }
  };
  WeakValueCache<Key, Probe, Hash, Equal> cache;
  const StrongRef<Probe> live = cache.Insert(1, Probe(1));
  EXPECT_THROW(cache.Insert(-1, Probe(2)), std::runtime_error);
  EXPECT_THROW(cache.Insert(-1, MakeStrong<Probe>(2)), std::runtime_error);
  EXPECT_THROW(cache.GetOrCreate(-1, [](const Key&) { return Probe(2); }), std::runtime_error);
  bool done = false;
  EXPECT_THROW(cache.StartGetOrCreate(
                   -1, [](const Key&, LoadContext&, LoadCompletion<Probe>) { ADD_FAILURE(); },
                   [&](const auto&) { done = true; }),
               std::runtime_error);
  EXPECT_FALSE(done) << "done is not called when StartGetOrCreate throws";
  EXPECT_EQ(Probe::Live(), 1);
  EXPECT_EQ(Peer::TableCount(cache), 1u);
  EXPECT_EQ(cache.Stats().loading, 0u);
}

TEST(CacheInsert, MemoryThatRunsOutChangesNothing) {
  WeakValueCache<int, int> cache(CacheOptions{.shards = 1});
  for (const bool linked : {false, true}) {
    const StrongRef<int> value = MakeStrong<int>(1);
    for (int allow = 0;; ++allow) {
      ASSERT_LT(allow, 50);
      bool thrown = false;
      StrongRef<int> object;
      support::FailAllocationOfThisThread(allow);
      try {
        object = linked ? cache.Insert(1, value) : cache.Insert(1, 1);
      } catch (const std::bad_alloc&) {
        thrown = true;
      }
      if (!support::StopFailingAllocations()) {
        ASSERT_FALSE(thrown);
        cache.Invalidate(1);
        break;
      }
      EXPECT_EQ(cache.Find(1), object);
      cache.Invalidate(1);
    }
  }
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

TEST(CacheInsert, OverALoadFencesItForGood) {
  WeakValueCache<int, int> cache;
  std::optional<LoadCompletion<int>> completion;
  StrongRef<int> loaded;
  cache.StartGetOrCreate(
      1, [&](int, LoadContext&, LoadCompletion<int> c) { completion.emplace(std::move(c)); },
      [&](absl::StatusOr<StrongRef<int>> r) { loaded = *std::move(r); });
  cache.Insert(1, 2).reset();  // the key is absent again
  completion->Complete(3);
  EXPECT_EQ(*loaded, 3);
  EXPECT_EQ(cache.Find(1), nullptr) << "the fence went with the inserted object";
}

TEST(CacheInvalidate, FencedJoinersAllGetTheObject) {
  WeakValueCache<int, int> cache;
  std::optional<LoadCompletion<int>> completion;
  const auto start = [&](int, LoadContext&, LoadCompletion<int> c) {
    completion.emplace(std::move(c));
  };
  std::vector<StrongRef<int>> got;
  const auto done = [&](absl::StatusOr<StrongRef<int>> r) { got.push_back(*std::move(r)); };
  for (int i = 0; i < 3; ++i) cache.StartGetOrCreate(1, start, done);
  EXPECT_TRUE(cache.Invalidate(1));
  EXPECT_FALSE(cache.Invalidate(1)) << "there is nothing any more";
  std::optional<LoadCompletion<int>> fenced = std::exchange(completion, std::nullopt);
  std::vector<StrongRef<int>> later;
  cache.StartGetOrCreate(1, start,
                         [&](absl::StatusOr<StrongRef<int>> r) { later.push_back(*std::move(r)); });
  ASSERT_TRUE(completion.has_value()) << "a request after the fence joined the fenced load";
  fenced->Complete(1);
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(*got[2], 1);
  EXPECT_EQ(got[0], got[2]);
  EXPECT_TRUE(later.empty());
  EXPECT_EQ(cache.Find(1), nullptr);
  completion->Complete(2);
  ASSERT_EQ(later.size(), 1u);
  EXPECT_EQ(*later[0], 2);
  EXPECT_EQ(cache.Find(1), later[0]);
}

TEST(CacheInvalidate, FencedLoadsMayOverlapWithoutLimit) {
  WeakValueCache<int, int> cache;
  std::vector<LoadCompletion<int>> loads;
  std::vector<int> got(10, -1);
  for (int i = 0; i < 10; ++i) {
    cache.StartGetOrCreate(
        1, [&](int, LoadContext&, LoadCompletion<int> c) { loads.push_back(std::move(c)); },
        [&got, i](absl::StatusOr<StrongRef<int>> r) { got[i] = **r; });
    if (i < 9) {
      EXPECT_TRUE(cache.Invalidate(1));
    }
  }
  ASSERT_EQ(loads.size(), 10u);
  EXPECT_EQ(cache.Stats().loading, 10u);
  for (int i : {9, 3, 0, 5, 1, 2, 8, 7, 6, 4}) loads[i].Complete(i);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(got[i], i);
  EXPECT_EQ(cache.Stats().loading, 0u);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

TEST(CacheInvalidateAll, MakesEverythingStaleAndNothingElse) {
  WeakValueCache<int, int> cache;
  std::vector<StrongRef<int>> held;
  for (int i = 0; i < 1000; ++i) held.push_back(cache.Insert(i, i));
  cache.InvalidateAll();
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_TRUE(cache.empty());
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(cache.Find(i), nullptr);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(*held[i], i);
  for (int i = 0; i < 500; ++i) {
    held.push_back(cache.GetOrCreate(i, [](int key) { return -key; }));
    ASSERT_EQ(*held.back(), -i);
  }
  EXPECT_EQ(cache.size(), 500u);
  held.clear();
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

TEST(CacheInvalidateAll, ManyTimes) {
  WeakValueCache<int, int> cache;
  StrongRef<int> object;
  for (int i = 0; i < 2000; ++i) {
    cache.InvalidateAll();
    ASSERT_EQ(cache.Find(1), nullptr);
    object = cache.GetOrCreate(1, [&](int) { return i; });
    ASSERT_EQ(*object, i);
    ASSERT_EQ(cache.Find(1), object);
    ASSERT_EQ(cache.size(), 1u);
  }
}

TEST(CacheInvalidateAll, LinkedEntriesToo) {
  WeakValueCache<int, int> cache;
  const StrongRef<int> object = MakeStrong<int>(1);
  cache.Insert(1, object);
  cache.InvalidateAll();
  EXPECT_EQ(cache.Find(1), nullptr);
  EXPECT_EQ(cache.size(), 0u);
  cache.Insert(1, object);
  EXPECT_EQ(cache.Find(1), object);
  EXPECT_EQ(cache.size(), 1u);
}

TEST(CacheInvalidateAll, StaleLoadThatFailsLeavesItsSuccessor) {
  WeakValueCache<int, int> cache;
  std::optional<LoadCompletion<int>> completion;
  cache.StartGetOrCreate(
      1, [&](int, LoadContext&, LoadCompletion<int> c) { completion.emplace(std::move(c)); },
      [](const auto&) {});
  cache.InvalidateAll();
  const StrongRef<int> fresh = cache.GetOrCreate(1, [](int) { return 2; });
  completion->Complete(absl::DataLossError("torn"));
  EXPECT_EQ(cache.Find(1), fresh);
}

}  // namespace
}  // namespace weakref
