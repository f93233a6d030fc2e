// The cache's end, before its objects', and from inside everything that it calls.

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
#include "tests/support/gate.h"
#include "weakref/expiry_callback.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using support::AwaitThat;
using support::Gate;
using support::Probe;
using Cache = WeakValueCache<int, Probe>;

TEST(CacheLifetime, HandlesOutliveTheCache) {
  std::vector<StrongRef<Probe>> held;
  {
    Cache cache;
    for (int i = 0; i < 1000; ++i) held.push_back(cache.Insert(i, Probe(i)));
    for (int i = 0; i < 100; ++i) held.push_back(cache.Insert(1000, held[i]));
  }
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(held[i]->id(), i);
  const StrongRef<Probe> copy = held[5];
  held.clear();
  EXPECT_EQ(Probe::Live(), 1);
  EXPECT_EQ(copy->id(), 5);
}

TEST(CacheLifetime, WeakReferencesOutliveTheCache) {
  WeakRef<Probe> weak;
  {
    Cache cache;
    StrongRef<Probe> object = cache.Insert(1, Probe(1));
    weak = object;
    EXPECT_EQ(weak.lock(), object);
  }
  EXPECT_TRUE(weak.expired());
  EXPECT_EQ(weak.lock(), nullptr);
}

TEST(CacheLifetime, AllMemoryGoesBack) {
  Cache any;
  const auto settle = [&] {
    for (int i = 0; i < 3; ++i) any.Drain();
  };
  const auto round = [] {
    std::vector<StrongRef<Probe>> held;
    Cache cache;
    for (int i = 0; i < 1000; ++i) held.push_back(cache.Insert(i, Probe(i)));
    for (int i = 0; i < 1000; i += 3) cache.Invalidate(i);
  };
  round();
  settle();
  const int64_t before = support::LiveAllocations();
  for (int i = 0; i < 20; ++i) round();
  settle();
  EXPECT_LE(support::LiveAllocations() - before, 2);
}

TEST(CacheLifetime, EndsInsideItsLoader) {
  auto cache = std::make_unique<Cache>();
  auto object = cache->GetOrCreate(1, [&](int key) {
    cache.reset();
    return Probe(key);
  });
  EXPECT_EQ(object->id(), 1);
  object.reset();
  EXPECT_EQ(Probe::Live(), 0);
}

TEST(CacheLifetime, EndsInsideALoaderThatReturnsAReference) {
  auto cache = std::make_unique<Cache>();
  const StrongRef<Probe> own = MakeStrong<Probe>(1);
  EXPECT_EQ(cache->GetOrCreate(1,
                               [&](int) {
                                 cache.reset();
                                 return own;
                               }),
            own);
}

TEST(CacheLifetime, EndsInsideALoaderThatFails) {
  auto cache = std::make_unique<Cache>();
  EXPECT_EQ(cache
                ->GetOrCreate(1,
                              [&](int) -> absl::StatusOr<Probe> {
                                cache.reset();
                                return absl::DataLossError("torn");
                              })
                .status(),
            absl::DataLossError("torn"));
}

TEST(CacheLifetime, EndsInsideANestedLoader) {
  auto cache = std::make_unique<Cache>();
  StrongRef<Probe> inner;
  const auto outer = cache->GetOrCreate(1, [&](int) {
    inner = cache->GetOrCreate(2, [&](int) {
      cache.reset();
      return Probe(2);
    });
    return Probe(1);
  });
  EXPECT_EQ(outer->id(), 1);
  EXPECT_EQ(inner->id(), 2);
}

TEST(CacheLifetime, EndsInsideADestructorOfItsValue) {
  auto cache = std::make_unique<Cache>();
  StrongRef<Probe> object = cache->Insert(1, Probe(1, [&] { cache.reset(); }));
  object.reset();
  EXPECT_EQ(cache, nullptr);
  EXPECT_EQ(Probe::Live(), 0);
}

TEST(CacheLifetime, EndsInsideADestructorOfALinkedValue) {
  auto cache = std::make_unique<Cache>();
  StrongRef<Probe> object = MakeStrong<Probe>(1, [&] { cache.reset(); });
  cache->Insert(1, object);
  cache->Insert(2, object);
  object.reset();
  EXPECT_EQ(cache, nullptr);
  EXPECT_EQ(Probe::Live(), 0);
}

TEST(CacheLifetime, EndsInsideAnExpiryCallback) {
  auto cache = std::make_unique<Cache>();
  StrongRef<Probe> object = cache->Insert(1, Probe(1));
  const ExpiryCallback callback(object, [&](const WeakRef<Probe>&) { cache.reset(); });
  object.reset();
  EXPECT_EQ(cache, nullptr);
}

TEST(CacheLifetime, EndsInsideStart) {
  auto cache = std::make_unique<Cache>();
  std::optional<absl::StatusOr<StrongRef<Probe>>> result;
  cache->StartGetOrCreate(
      1,
      [&](int, LoadContext& context, LoadCompletion<Probe> completion) {
        cache.reset();
        EXPECT_TRUE(context.stop_token().stop_requested());
        completion.Complete(Probe(1));
      },
      [&](absl::StatusOr<StrongRef<Probe>> r) { result = std::move(r); });
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Probe::Live(), 0);
}

TEST(CacheLifetime, EndsInsideStartThatThrows) {
  auto cache = std::make_unique<Cache>();
  int done = 0;
  cache->StartGetOrCreate(
      1,
      [&](int, LoadContext&, LoadCompletion<Probe>) {
        cache.reset();
        throw std::runtime_error("torn");
      },
      [&](const auto&) { ++done; });
  EXPECT_EQ(done, 1);
}

TEST(CacheLifetime, EndsInsideDoneOfAHit) {
  auto cache = std::make_unique<Cache>();
  const StrongRef<Probe> object = cache->Insert(1, Probe(1));
  cache->StartGetOrCreate(
      1, [](int, LoadContext&, LoadCompletion<Probe>) { ADD_FAILURE(); },
      [&](absl::StatusOr<StrongRef<Probe>> r) {
        cache.reset();
        EXPECT_EQ(*r, object);
      });
  EXPECT_EQ(cache, nullptr);
}

TEST(CacheLifetime, EndsInsideDoneOfALoad) {
  auto cache = std::make_unique<Cache>();
  std::optional<LoadCompletion<Probe>> completion;
  std::vector<StrongRef<Probe>> got;
  for (int i = 0; i < 3; ++i) {
    cache->StartGetOrCreate(
        1, [&](int, LoadContext&, LoadCompletion<Probe> c) { completion.emplace(std::move(c)); },
        [&](absl::StatusOr<StrongRef<Probe>> r) {
          cache.reset();
          got.push_back(*std::move(r));
        });
  }
  completion->Complete(Probe(1));
  EXPECT_EQ(got.size(), 3u);
  EXPECT_EQ(cache, nullptr);
}

TEST(CacheLifetime, EndsInsideDoneThatHearsOfTheEnd) {
  // The callback of one cache's end ends another.
  auto a = std::make_unique<Cache>();
  auto b = std::make_unique<Cache>();
  std::vector<LoadCompletion<Probe>> loads;
  a->StartGetOrCreate(
      1, [&](int, LoadContext&, LoadCompletion<Probe> c) { loads.push_back(std::move(c)); },
      [&](const auto&) { b.reset(); });
  a.reset();
  EXPECT_EQ(b, nullptr);
}

TEST(CacheLifetime, EndsInsideForEach) {
  auto cache = std::make_unique<Cache>(CacheOptions{.shards = 4});
  std::vector<StrongRef<Probe>> held;
  for (int i = 0; i < 100; ++i) held.push_back(cache->Insert(i, Probe(i)));
  int shown = 0;
  cache->ForEach([&](int key, const StrongRef<Probe>& object) {
    EXPECT_EQ(object->id(), key);
    cache.reset();
    held.clear();
    ++shown;
  });
  EXPECT_GE(shown, 1);
  EXPECT_EQ(Probe::Live(), 0);
}

TEST(CacheLifetime, EndsInsideAStopCallback) {
  auto cache = std::make_unique<Cache>();
  std::optional<LoadCompletion<Probe>> completion;
  std::stop_source stop;
  std::stop_token of_load;
  int done = 0;
  cache->StartGetOrCreate(
      1,
      [&](int, LoadContext& context, LoadCompletion<Probe> c) {
        of_load = context.stop_token();
        completion.emplace(std::move(c));
      },
      [&](const auto&) { ++done; }, WaitOptions{.stop = stop.get_token()});
  {
    std::stop_callback on_stop(of_load, [&] { cache.reset(); });
    stop.request_stop();
  }
  EXPECT_EQ(cache, nullptr);
  EXPECT_EQ(done, 1);
  completion->Complete(Probe(1));
}

TEST(CacheLifetime, ManyBlockedWaitersAreCancelled) {
  auto cache = std::make_unique<Cache>();
  std::vector<std::optional<LoadCompletion<Probe>>> loads(4);
  std::vector<int> done(4, 0);
  for (int key = 0; key < 4; ++key) {
    cache->StartGetOrCreate(
        key, [&](int k, LoadContext&, LoadCompletion<Probe> c) { loads[k].emplace(std::move(c)); },
        [&done, key](const absl::StatusOr<StrongRef<Probe>>& r) {
          EXPECT_EQ(r.status().code(), absl::StatusCode::kCancelled);
          ++done[key];
        });
  }
  std::vector<std::thread> waiters;
  std::atomic<int> cancelled{0};
  for (int i = 0; i < 8; ++i) {
    waiters.emplace_back([&, i, c = cache.get()] {
      try {
        c->GetOrCreate(i % 4, [](int) { return Probe(-5); });
      } catch (const CacheError& error) {
        if (error.code() == absl::StatusCode::kCancelled) ++cancelled;
      }
    });
  }
  AwaitThat([&] { return cache->Stats().loads_shared == 8; });
  cache.reset();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(cancelled, 8);
  EXPECT_EQ(done, (std::vector<int>{1, 1, 1, 1}));
  for (auto& load : loads) load->Complete(Probe(1));
  EXPECT_EQ(Probe::Live(), 0);
}

TEST(CacheLifetime, LoadsOfTheDeadAreLostWithoutALeak) {
  std::vector<LoadCompletion<Probe>> loads;
  {
    Cache cache;
    for (int i = 0; i < 3; ++i) {
      cache.StartGetOrCreate(
          i, [&](int, LoadContext&, LoadCompletion<Probe> c) { loads.push_back(std::move(c)); },
          [](const auto&) {});
    }
  }
  loads[0].Complete(Probe(1));
  loads[1].Complete(MakeStrong<Probe>(2));
  loads.clear();  // the third is dropped
  EXPECT_EQ(Probe::Live(), 0);
}

TEST(CacheLifetime, ValuesMayHoldTheirCacheAlive) {
  struct Node {
    std::shared_ptr<WeakValueCache<int, Node>> cache;
    StrongRef<Node> next;
  };
  WeakRef<Node> weak;
  {
    auto cache = std::make_shared<WeakValueCache<int, Node>>();
    StrongRef<Node> last;
    for (int i = 0; i < 500; ++i) last = cache->Insert(i, Node{cache, last});
    weak = last;
    cache.reset();
  }  // the chain's death ends the cache from within
  EXPECT_TRUE(weak.expired());
}

TEST(CacheLifetime, LongChainOfCachedObjectsDiesWithoutAStack) {
  struct Node {
    StrongRef<Node> next;
  };
  WeakValueCache<int, Node> cache;
  StrongRef<Node> first;
  for (int i = 0; i < 200000; ++i) first = cache.Insert(i, Node{std::move(first)});
  EXPECT_EQ(cache.size(), 200000u);
  first.reset();
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(cache.Stats().deaths, 200000u);
}

}  // namespace
}  // namespace weakref
