// Hits take no lock: they complete while another thread holds every shard's mutex.
//
// A test that is wrong here hangs; a watchdog turns that into a failure.

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/weak_value_cache_test_peer.h"
#include "tests/support/gate.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using support::Gate;
using Cache = WeakValueCache<int, std::string>;

// Runs `f` in another thread while this one holds all of the cache's mutexes. Gate aborts if `f`
// does not end.
template <class F>
void WithEverythingLocked(Cache& cache, F f) {
  Gate finished("an operation that should take no lock");
  std::thread thread;
  {
    const WeakValueCacheTestPeer::AllLocks locks(cache);
    thread = std::thread([&] {
      f();
      finished.Open();
    });
    finished.Wait();
  }
  thread.join();
}

class CacheLockFreedom : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 1000; ++i) held_.push_back(cache_.Insert(i, std::to_string(i)));
    linked_ = cache_.Insert(1000, MakeStrong<std::string>("linked"));
  }
  Cache cache_{CacheOptions{.shards = 16}};
  std::vector<StrongRef<std::string>> held_;
  StrongRef<std::string> linked_;
};

TEST_F(CacheLockFreedom, FindThatHits) {
  WithEverythingLocked(cache_, [&] {
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(cache_.Find(i), held_[i]);
    EXPECT_EQ(cache_.Find(1000), linked_);
  });
}

TEST_F(CacheLockFreedom, FindThatMisses) {
  WithEverythingLocked(cache_, [&] {
    for (int i = 2000; i < 3000; ++i) ASSERT_EQ(cache_.Find(i), nullptr);
  });
}

TEST_F(CacheLockFreedom, GetOrCreateThatHits) {
  WithEverythingLocked(cache_, [&] {
    for (int i = 0; i < 1000; ++i) {
      ASSERT_EQ(cache_.GetOrCreate(i, [](int) { return "no"; }), held_[i]);
      ASSERT_EQ(*cache_.GetOrCreate(i, [](int) -> absl::StatusOr<std::string> { return "no"; }),
                held_[i]);
    }
  });
}

TEST_F(CacheLockFreedom, StartGetOrCreateThatHits) {
  WithEverythingLocked(cache_, [&] {
    int done = 0;
    cache_.StartGetOrCreate(
        1, [](int, LoadContext&, LoadCompletion<std::string>) { ADD_FAILURE(); },
        [&](absl::StatusOr<StrongRef<std::string>> r) { done += *r == held_[1] ? 1 : 0; });
    EXPECT_EQ(done, 1);
  });
}

TEST_F(CacheLockFreedom, CopiesAndDropsOfHandles) {
  WithEverythingLocked(cache_, [&] {
    for (int i = 0; i < 1000; ++i) {
      StrongRef<std::string> copy = cache_.Find(i);
      const StrongRef<std::string> moved = std::move(copy);
      const WeakRef<std::string> weak(moved);
      ASSERT_EQ(weak.lock(), held_[i]);
    }
  });
}

TEST_F(CacheLockFreedom, InvalidateAllAndObservers) {
  WithEverythingLocked(cache_, [&] {
    EXPECT_EQ(cache_.size(), 1001u);
    EXPECT_EQ(cache_.Stats().live, 1001u);
    cache_.InvalidateAll();
    EXPECT_EQ(cache_.Find(1), nullptr);
    EXPECT_EQ(cache_.size(), 0u);
  });
}

TEST_F(CacheLockFreedom, AThreadsFirstLookup) {
  // Each thread registers with the reclaimer at its first visit.
  WithEverythingLocked(cache_, [&] {
    for (int i = 0; i < 8; ++i) {
      std::thread([&, i] { EXPECT_EQ(cache_.Find(i), held_[i]); }).join();
    }
  });
}

// The counterpart, so that the test above is known to lock anything: a miss does wait.
TEST_F(CacheLockFreedom, AMissWaitsForTheMutex) {
  std::thread thread;
  Gate finished("the miss");
  {
    const WeakValueCacheTestPeer::AllLocks locks(cache_);
    thread = std::thread([&] {
      (void)cache_.GetOrCreate(5000, [&](int) {
        finished.Open();
        return "loaded";
      });
    });
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    EXPECT_FALSE(finished.IsOpen());
  }
  thread.join();
  EXPECT_TRUE(finished.IsOpen());
}

// A load in flight, and a callback that hangs in a destructor, hold no lock either.
TEST_F(CacheLockFreedom, LoadsAndDestructorsHoldNoLock) {
  Gate loading, dying, go_on;
  struct Slow {
    explicit Slow(Gate* a, Gate* b) : reached(a), go(b) {}
    Slow(Slow&& o) noexcept
        : reached(std::exchange(o.reached, nullptr)), go(std::exchange(o.go, nullptr)) {}
    ~Slow() {
      if (reached == nullptr) return;
      reached->Open();
      go->Wait();
    }
    Gate* reached;
    Gate* go;
  };
  WeakValueCache<int, Slow> cache(CacheOptions{.shards = 1});
  std::thread loader([&] {
    (void)cache.GetOrCreate(1, [&](int) {
      loading.Open();
      go_on.Wait();
      return Slow(nullptr, nullptr);
    });
  });
  std::thread dropper([&] { cache.Insert(2, Slow(&dying, &go_on)).reset(); });
  loading.Wait();
  dying.Wait();
  const auto object = cache.Insert(3, Slow(nullptr, nullptr));
  EXPECT_EQ(cache.Find(3), object);
  EXPECT_TRUE(cache.Invalidate(3));
  EXPECT_FALSE(cache.Invalidate(2));
  cache.GetOrCreate(2, [](int) { return Slow(nullptr, nullptr); }).reset();
  cache.Drain();
  go_on.Open();
  loader.join();
  dropper.join();
}

}  // namespace
}  // namespace weakref
