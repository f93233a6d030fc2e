// The hazards that every hand-written weak cache has met, a test for each, named after it. In
// brackets: where it happened for real.

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/allocations.h"
#include "tests/support/cache/await_that.h"
#include "tests/support/cache/probe.h"
#include "tests/support/cache/weak_value_cache_test_peer.h"
#include "tests/support/gate.h"
#include "tests/support/run_threads.h"
#include "tests/support/stress_scale.h"
#include "weakref/expiry_callback.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using support::AwaitThat;
using support::Gate;
using support::Probe;
using Cache = WeakValueCache<int, Probe>;
using Peer = WeakValueCacheTestPeer;

const auto kLoad = [](int key) { return Probe(key); };

// 1. A temporary reference becomes the last owner under the lock; the destructor locks again.
// (Velox, twice; MongoDB; StarRocks; Doris)
//
// The library's own references are temporary in Find, in ForEach and in what a superseding Insert
// or an abandoned load puts aside. In each case the destructor uses the very shard.
TEST(Hazard, LastOwnerUnderTheLockIsImpossible) {
  Cache cache(CacheOptions{.shards = 1});
  int destroyed = 0;
  const auto reenter = [&] {
    (void)cache.Find(1);
    cache.Insert(2, Probe(2)).reset();
    cache.Invalidate(3);
    (void)cache.GetOrCreate(4, kLoad);
    ++destroyed;
  };
  {  // ForEach's references
    StrongRef<Probe> object = cache.Insert(1, Probe(1, reenter));
    cache.ForEach([&](int, const StrongRef<Probe>&) { object.reset(); });
    EXPECT_EQ(destroyed, 1);
  }
  {  // a lookup's reference, last because the owner drops his meanwhile
    for (int i = 0; i < support::ScaledIterations(300); ++i) {
      StrongRef<Probe> object = cache.Insert(1, Probe(1, reenter));
      support::RunThreads(3, [&](int thread) {
        if (thread == 0) {
          object.reset();
        } else {
          (void)cache.Find(1);
          (void)cache.GetOrCreate(1, kLoad);
        }
      });
    }
    EXPECT_EQ(destroyed, 1 + support::ScaledIterations(300));
  }
  {  // a result for nobody
    std::optional<LoadCompletion<Probe>> completion;
    std::stop_source stop;
    cache.StartGetOrCreate(
        1, [&](int, LoadContext&, LoadCompletion<Probe> c) { completion.emplace(std::move(c)); },
        [](const auto&) {}, WaitOptions{.stop = stop.get_token()});
    stop.request_stop();
    const int before = destroyed;
    completion->Complete(Probe(1, reenter));
    EXPECT_EQ(destroyed, before + 1);
  }
}

// 3. A late death erases the new value under the same key. (CPython bpo-28427, Envoy, djinni)
//
// The object is dead, its successor is in, and only then does the dying thread come to the shard:
// it is held up by another cache that lists the object too.
TEST(Hazard, LateDeathKeepsSuccessor) {
  Cache cache(CacheOptions{.shards = 1});
  Cache other(CacheOptions{.shards = 1});
  StrongRef<Probe> old = MakeStrong<Probe>(1);
  const WeakRef<Probe> weak(old);
  cache.Insert(7, old);
  other.Insert(7, old);  // hears of the death first
  std::optional<Peer::AllLocks> hold_up(other);
  std::thread dropper([last = std::move(old)]() mutable { last.reset(); });
  AwaitThat([&] { return weak.expired(); });
  ASSERT_EQ(Peer::TableCount(cache), 1u) << "the dead entry should be there still";
  const StrongRef<Probe> successor = cache.GetOrCreate(7, [](int) { return Probe(2); });
  hold_up.reset();
  dropper.join();
  EXPECT_EQ(cache.Find(7), successor);
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_EQ(Peer::TableCount(cache), 1u);
}

// 3, for objects that live in the cache's own entries: here the race decides, in many rounds.
TEST(Hazard, LateDeathKeepsSuccessorOfAnInlineObject) {
  for (int i = 0; i < support::ScaledIterations(2000); ++i) {
    Cache cache(CacheOptions{.shards = 1});
    StrongRef<Probe> old = cache.Insert(7, Probe(1));
    StrongRef<Probe> successor;
    support::RunThreads(2, [&](int thread) {
      if (thread == 0) {
        old.reset();
      } else {
        successor = cache.Insert(7, Probe(2));
      }
    });
    ASSERT_EQ(cache.Find(7), successor);
    ASSERT_EQ(cache.size(), 1u);
  }
}

// 5. A loader re-enters the cache: recursion, same bin. (Caffeine, about 20 reports; Guava)
TEST(Hazard, LoaderMayReenterTheCache) {
  Cache cache(CacheOptions{.shards = 1});
  std::vector<StrongRef<Probe>> held;
  std::function<Probe(int)> load = [&](int key) {
    if (key > 0) held.push_back(cache.GetOrCreate(key - 1, load));
    (void)cache.Find(key);
    cache.Insert(1000 + key, Probe(0)).reset();
    cache.ForEach([](int, const StrongRef<Probe>&) {});
    return Probe(key);
  };
  held.push_back(cache.GetOrCreate(300, load));  // the table grows under the loads in flight
  EXPECT_EQ(cache.size(), 301u);
  for (int i = 0; i <= 300; ++i) EXPECT_EQ(cache.Find(i)->id(), i);
}

TEST(Hazard, RecursiveLoadIsAnErrorNotAHang) {
  Cache cache;
  std::function<Probe(int)> load = [&](int key) {
    return Probe(cache.GetOrCreate((key + 1) % 3, load)->id());
  };
  try {
    (void)cache.GetOrCreate(0, load);
    FAIL() << "0 needs 1 needs 2 needs 0";
  } catch (const CacheError& error) {
    EXPECT_EQ(error.code(), absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ(Peer::TableCount(cache), 0u);
  EXPECT_EQ(cache.GetOrCreate(0, kLoad)->id(), 0) << "and leaves the cache well";
}

// 6. Dead entries pile up faster than they are purged. (Go 71772, Envoy)
TEST(Hazard, DeadEntriesAreGoneAtOnce) {
  Cache cache;
  for (int i = 0; i < 10000; ++i) {
    cache.Insert(i, Probe(i)).reset();
    ASSERT_EQ(cache.size(), 0u);
    if (i % 100 == 0) {
      ASSERT_EQ(Peer::TableCount(cache), 0u);
    }
  }
  const size_t array_bytes = Peer::ArrayBytes(cache);
  EXPECT_EQ(array_bytes, Peer::ArrayBytes(*std::make_unique<Cache>())) << "the table has grown";
}

// 7. Entries outlive the cache, or handles do. (Ceph, Doris)
TEST(Hazard, HandlesMayOutliveTheCache) {
  auto cache = std::make_unique<Cache>();
  std::vector<StrongRef<Probe>> held;
  std::atomic<int> callbacks{0};
  std::vector<ExpiryCallback> registered;
  for (int i = 0; i < 100; ++i) {
    held.push_back(cache->Insert(i, Probe(i)));
    registered.emplace_back(held.back(), [&](const WeakRef<Probe>&) { ++callbacks; });
  }
  const WeakRef<Probe> weak(held[0]);
  cache.reset();
  support::RunThreads(4, [&](int thread) {
    for (int i = thread; i < 100; i += 4) {
      EXPECT_EQ(held[i]->id(), i);
      held[i].reset();
    }
  });
  EXPECT_TRUE(weak.expired());
  EXPECT_EQ(callbacks, 100);
  EXPECT_EQ(Probe::Live(), 0);
}

// 8. An exception leaves waiters blocked. (duck-read-cache, TBB concurrent_lru_cache)
TEST(Hazard, ThrowingLoaderReleasesItsWaiters) {
  Cache cache;
  Gate loading, go_on;
  std::atomic<int> caught{0};
  // Kept to the end: the count that frees a shared exception is in libstdc++.so, where
  // ThreadSanitizer does not see it.
  const std::exception_ptr torn = std::make_exception_ptr(std::runtime_error("torn"));
  std::vector<std::thread> threads;
  const auto ask = [&] {
    try {
      (void)cache.GetOrCreate(1, [&](int) -> Probe {
        loading.Open();
        go_on.Wait();
        std::rethrow_exception(torn);
      });
    } catch (const std::runtime_error& error) {
      if (std::string(error.what()) == "torn") ++caught;
    }
  };
  threads.emplace_back(ask);
  loading.Wait();
  for (int i = 0; i < 4; ++i) threads.emplace_back(ask);
  AwaitThat([&] { return cache.Stats().loads_shared == 4; });
  go_on.Open();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(caught, 5);
  EXPECT_EQ(cache.GetOrCreate(1, kLoad)->id(), 1) << "the key is not blocked";
}

TEST(Hazard, ForgottenCompletionReleasesItsWaiters) {
  Cache cache;
  auto completion = std::make_unique<std::optional<LoadCompletion<Probe>>>();
  cache.StartGetOrCreate(
      1, [&](int, LoadContext&, LoadCompletion<Probe> c) { completion->emplace(std::move(c)); },
      [](const auto&) {});
  absl::Status heard;
  std::thread waiter([&] {
    heard = cache.GetOrCreate(1, [](int) -> absl::StatusOr<Probe> { return Probe(0); }).status();
  });
  AwaitThat([&] { return cache.Stats().loads_shared == 1; });
  completion.reset();
  waiter.join();
  EXPECT_EQ(heard.code(), absl::StatusCode::kCancelled);
}

// 9. A waiting thread steals another load and deadlocks with itself. (Gaffer with TBB)
TEST(Hazard, WaiterRunsNobodyElsesLoad) {
  Cache cache;
  Gate loading, go_on;
  std::thread leader([&] {
    (void)cache.GetOrCreate(1, [&](int key) {
      loading.Open();
      go_on.Wait();
      return Probe(key);
    });
  });
  loading.Wait();
  Gate named;
  std::thread::id waiter_id;
  std::atomic<bool> ran_here{false};
  std::thread waiter([&] {
    waiter_id = std::this_thread::get_id();
    named.Open();
    (void)cache.GetOrCreate(1, [&](int key) {
      ran_here = true;
      return Probe(key);
    });
  });
  AwaitThat([&] { return cache.Stats().loads_shared == 1; });
  named.Wait();
  // Other loads come and go while it waits; none of them runs in the waiting thread.
  for (int i = 100; i < 200; ++i) {
    (void)cache.GetOrCreate(i, [&](int key) {
      if (std::this_thread::get_id() == waiter_id) ran_here = true;
      return Probe(key);
    });
  }
  go_on.Open();
  leader.join();
  waiter.join();
  EXPECT_FALSE(ran_here);
}

// 11. Iteration while values die. (CPython, several)
TEST(Hazard, IterationWhileValuesDie) {
  Cache cache(CacheOptions{.shards = 2});
  for (int round = 0; round < support::ScaledIterations(200); ++round) {
    std::vector<StrongRef<Probe>> held;
    for (int i = 0; i < 64; ++i) held.push_back(cache.Insert(i, Probe(i)));
    support::RunThreads(2, [&](int thread) {
      if (thread == 0) {
        for (auto& object : held) object.reset();
      } else {
        cache.ForEach([](int key, const StrongRef<Probe>& object) {
          ASSERT_NE(object, nullptr);
          ASSERT_EQ(object->id(), key);
        });
      }
    });
    ASSERT_EQ(Probe::Live(), 0);
    ASSERT_EQ(Peer::TableCount(cache), 0u);
  }
}

// 12. Invalidate while loading leaves the old value for ever. (Guava 1881, Scylla, lettuce)
TEST(Hazard, InvalidateFencesTheLoad) {
  Cache cache;
  int source = 1;
  Gate read, go_on;
  StrongRef<Probe> old;
  std::thread loader([&] {
    old = cache.GetOrCreate(1, [&](int) {
      const int value = source;
      read.Open();
      go_on.Wait();
      return Probe(value);
    });
  });
  read.Wait();
  source = 2;
  cache.Invalidate(1);
  go_on.Open();
  loader.join();
  EXPECT_EQ(old->id(), 1) << "who asked before the change may get the old value";
  const auto fresh = cache.GetOrCreate(1, [&](int) { return Probe(source); });
  EXPECT_EQ(fresh->id(), 2) << "who asks after it must not";
}

TEST(Hazard, InvalidateAllFencesEveryLoad) {
  Cache cache;
  std::vector<LoadCompletion<Probe>> loads;
  std::vector<StrongRef<Probe>> old;
  for (int i = 0; i < 50; ++i) {
    cache.StartGetOrCreate(
        i, [&](int, LoadContext&, LoadCompletion<Probe> c) { loads.push_back(std::move(c)); },
        [&](absl::StatusOr<StrongRef<Probe>> r) { old.push_back(*std::move(r)); });
  }
  cache.InvalidateAll();
  for (auto& load : loads) load.Complete(Probe(1));
  EXPECT_EQ(old.size(), 50u);
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(cache.Find(i), nullptr);
    ASSERT_EQ(cache.GetOrCreate(i, [](int) { return Probe(2); })->id(), 2);
  }
}

// 13. The last waiter leaves as a new one joins. (Tailscale 18919) A cancelled waiter blocks the
// key. (coil)
//
// Oracle: whoever comes either keeps the old load alive or starts his own; a newcomer with no stop
// token always gets an object, never kCancelled.
TEST(Hazard, LastWaiterLeavesAsANewOneJoins) {
  int inherited = 0;
  for (int i = 0; i < support::ScaledIterations(2000); ++i) {
    Cache cache(CacheOptions{.shards = 1});
    struct Load {
      std::stop_token stop;
      std::optional<LoadCompletion<Probe>> completion;
    };
    Load first, second;
    std::stop_source leave;
    cache.StartGetOrCreate(
        1,
        [&](int, LoadContext& context, LoadCompletion<Probe> c) {
          first.stop = context.stop_token();
          first.completion.emplace(std::move(c));
        },
        [](const auto&) {}, WaitOptions{.stop = leave.get_token()});
    std::optional<absl::StatusOr<StrongRef<Probe>>> newcomer;
    support::RunThreads(2, [&](int thread) {
      if (thread == 0) {
        leave.request_stop();
      } else {
        cache.StartGetOrCreate(
            1,
            [&](int, LoadContext&, LoadCompletion<Probe> c) {
              second.completion.emplace(std::move(c));
            },
            [&](absl::StatusOr<StrongRef<Probe>> r) { newcomer = std::move(r); });
      }
    });
    const bool own_load = second.completion.has_value();
    ASSERT_EQ(first.stop.stop_requested(), own_load)
        << "joined a load that was cancelled, or one that nobody waits for goes on";
    // A cancelled load ends as told.
    if (own_load) {
      first.completion->Complete(absl::CancelledError("as told"));
      second.completion->Complete(Probe(2));
    } else {
      first.completion->Complete(Probe(1));
      ++inherited;
    }
    ASSERT_TRUE(newcomer.has_value());
    ASSERT_TRUE(newcomer->ok()) << newcomer->status();
  }
  RecordProperty("joined", inherited);
}

TEST(Hazard, CancelledWaiterDoesNotBlockTheKey) {
  Cache cache;
  std::stop_source stop;
  std::optional<LoadCompletion<Probe>> hangs;
  cache.StartGetOrCreate(
      1, [&](int, LoadContext&, LoadCompletion<Probe> c) { hangs.emplace(std::move(c)); },
      [](const auto&) {}, WaitOptions{.stop = stop.get_token()});
  stop.request_stop();
  EXPECT_EQ(cache.GetOrCreate(1, kLoad)->id(), 1) << "without waiting for the load that hangs";
  hangs->Complete(Probe(2));
}

// 14. A waiter's timeout is shorter than the load, so it never fills. (moka 240)
TEST(Hazard, LoadLongerThanEveryWaitStillFills) {
  Cache cache;
  std::optional<LoadCompletion<Probe>> completion;
  StrongRef<Probe> first;
  cache.StartGetOrCreate(
      1, [&](int, LoadContext&, LoadCompletion<Probe> c) { completion.emplace(std::move(c)); },
      [&](absl::StatusOr<StrongRef<Probe>> r) { first = *std::move(r); });
  const auto must_not_load = [](int) -> absl::StatusOr<Probe> {
    ADD_FAILURE() << "a second load";
    return Probe(-5);
  };
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(cache
                  .GetOrCreate(1, must_not_load,
                               WaitOptions{.deadline = absl::Now() + absl::Milliseconds(1)})
                  .status()
                  .code(),
              absl::StatusCode::kDeadlineExceeded);
  }
  completion->Complete(Probe(1));
  const auto hit =
      cache.GetOrCreate(1, must_not_load, WaitOptions{.deadline = absl::InfinitePast()});
  ASSERT_TRUE(hit.ok());
  EXPECT_EQ(*hit, first);
}

}  // namespace
}  // namespace weakref
