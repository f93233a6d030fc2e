// Hash and equality are user code: they may throw and they may look into other caches.

#include <stdexcept>
#include <string>
#include <thread>
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
using Peer = WeakValueCacheTestPeer;

struct Failure : std::runtime_error {
  Failure() : std::runtime_error("user code") {}
};

// A key whose hash or comparison fails while the test says so.
struct Switch {
  bool hash_throws = false;
  bool equal_throws = false;
};
struct ThrowingHash {
  size_t operator()(int) const {
    if (on->hash_throws) throw Failure();
    return 1;  // all collide: every operation compares
  }
  const Switch* on;
};
struct ThrowingEqual {
  bool operator()(int a, int b) const {
    if (on->equal_throws) throw Failure();
    return a == b;
  }
  const Switch* on;
};
using ThrowingCache = WeakValueCache<int, Probe, ThrowingHash, ThrowingEqual>;

class ThrowingUserCode : public ::testing::Test {
 protected:
  // Everything that looks a key up throws, and nothing has changed afterwards.
  void ExpectAllThrowAndNothingChanges() {
    const StrongRef<Probe> elsewhere = MakeStrong<Probe>(9);
    const CacheStats before = cache_.Stats();
    const auto load = [](int) {
      ADD_FAILURE() << "the loader ran";
      return Probe(-5);
    };
    for (int key : {1, 2, 3}) {
      EXPECT_THROW((void)cache_.Find(key), Failure);
      EXPECT_THROW(cache_.GetOrCreate(key, load), Failure);
      EXPECT_THROW(cache_.Insert(key, Probe(7)), Failure);
      EXPECT_THROW(cache_.Insert(key, elsewhere), Failure);
      EXPECT_THROW(cache_.Invalidate(key), Failure);
      EXPECT_THROW(cache_.StartGetOrCreate(
                       key, [](int, LoadContext&, LoadCompletion<Probe>) { ADD_FAILURE(); },
                       [](const auto&) { ADD_FAILURE() << "done was called"; }),
                   Failure);
    }
    on_ = {};
    EXPECT_EQ(Peer::TableCount(cache_), 2u);
    EXPECT_EQ(cache_.Find(1), one_);
    EXPECT_EQ(cache_.Find(2), two_);
    EXPECT_EQ(cache_.size(), 2u);
    const CacheStats after = cache_.Stats();
    EXPECT_EQ(after.loads, before.loads);
    EXPECT_EQ(after.loading, 0u);
    EXPECT_EQ(after.superseded, before.superseded);
    EXPECT_EQ(after.invalidated, before.invalidated);
    EXPECT_EQ(Probe::Live(), 3) << "an object was lost";
  }

  Switch on_;
  ThrowingCache cache_{CacheOptions{.shards = 2}, ThrowingHash{&on_}, ThrowingEqual{&on_}};
  StrongRef<Probe> one_ = cache_.Insert(1, Probe(1));
  StrongRef<Probe> two_ = cache_.Insert(2, MakeStrong<Probe>(2));
};

TEST_F(ThrowingUserCode, HashChangesNothing) {
  on_.hash_throws = true;
  ExpectAllThrowAndNothingChanges();
}

TEST_F(ThrowingUserCode, EqualityChangesNothing) {
  on_.equal_throws = true;
  ExpectAllThrowAndNothingChanges();
}

TEST_F(ThrowingUserCode, DeathNeedsNeither) {
  on_ = {.hash_throws = true, .equal_throws = true};
  one_.reset();
  two_.reset();
  EXPECT_EQ(Probe::Live(), 0);
  EXPECT_EQ(Peer::TableCount(cache_), 0u);
}

TEST_F(ThrowingUserCode, ResizeNeedsNeither) {
  std::vector<StrongRef<Probe>> held;
  Switch good;
  for (int i = 10; i < 100; ++i) held.push_back(cache_.Insert(i, Probe(i)));
  on_ = {.hash_throws = true, .equal_throws = true};
  for (int i = 0; i < 20; ++i) cache_.Drain();
  int shown = 0;
  cache_.ForEach([&](int, const StrongRef<Probe>&) { ++shown; });
  EXPECT_EQ(shown, 92);
  on_ = {};
  for (int i = 10; i < 100; ++i) EXPECT_EQ(cache_.Find(i), held[i - 10]);
}

// Keys that are equal if another cache gives the same object for them.
TEST(CacheUserCode, HashAndEqualityMayUseAnotherCache) {
  using Names = WeakValueCache<std::string, std::string>;
  struct Hash {
    size_t operator()(const std::string& key) const {
      const auto name =
          names->GetOrCreate(key, [](const std::string& k) { return k.substr(0, 1); });
      return std::hash<std::string>()(*name);
    }
    Names* names;
  };
  struct Equal {
    bool operator()(const std::string& a, const std::string& b) const {
      const auto load = [](const std::string& k) { return k.substr(0, 1); };
      const auto x = names->GetOrCreate(a, load);
      names->Insert(b + "!", "other");
      names->Drain();
      return *x == *names->GetOrCreate(b, load);
    }
    Names* names;
  };
  Names names;
  WeakValueCache<std::string, int, Hash, Equal> cache({}, Hash{&names}, Equal{&names});
  const auto object = cache.Insert("apple", 1);
  EXPECT_EQ(cache.Find(std::string("avocado")), object);
  EXPECT_EQ(cache.Find(std::string("banana")), nullptr);
  const auto banana =
      cache.GetOrCreate(std::string("banana"), [](const std::string&) { return 2; });
  EXPECT_EQ(cache.Find(std::string("blueberry")), banana);
  EXPECT_TRUE(cache.Invalidate(std::string("abc")));
  EXPECT_EQ(cache.size(), 1u);
}

// An object dies inside an equality, that is inside a reader's visit.
TEST(CacheUserCode, EqualityMayDropTheLastReference) {
  WeakValueCache<int, Probe> other;
  StrongRef<Probe> doomed = other.Insert(1, Probe(1));
  struct Equal {
    bool operator()(int a, int b) const {
      doomed->reset();
      return a == b;
    }
    StrongRef<Probe>* doomed;
  };
  WeakValueCache<int, int, CacheHash<int>, Equal> cache({}, {}, Equal{&doomed});
  const auto object = cache.Insert(5, 5);
  EXPECT_EQ(cache.Find(5), object);
  EXPECT_EQ(doomed, nullptr);
  EXPECT_EQ(Peer::TableCount(other), 0u);
  EXPECT_EQ(Probe::Live(), 0);
}

// Unequal keys of one hash, in any number, are told apart by equality alone.
TEST(CacheUserCode, ConstantHashIsSlowAndRight) {
  struct Constant {
    size_t operator()(int) const { return 0; }
  };
  WeakValueCache<int, int, Constant> cache;
  std::vector<StrongRef<int>> held;
  for (int i = 0; i < 700; ++i) held.push_back(cache.GetOrCreate(i, [](int key) { return key; }));
  for (int i = 0; i < 700; ++i) ASSERT_EQ(*cache.Find(i), i);
  for (int i = 0; i < 700; i += 2) held[i].reset();
  for (int i = 0; i < 700; ++i) ASSERT_EQ(cache.Find(i) != nullptr, i % 2 == 1);
  EXPECT_EQ(cache.size(), 350u);
  held.clear();
  EXPECT_EQ(Peer::EntriesInBuckets(cache), 0u);
}

}  // namespace
}  // namespace weakref
