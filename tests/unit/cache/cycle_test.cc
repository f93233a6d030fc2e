// Loads that wait for each other: a circle is an error, everything else is not.

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/await_that.h"
#include "tests/support/gate.h"
#include "tests/support/run_threads.h"
#include "tests/support/stress_scale.h"
#include "tests/support/test_seed.h"

namespace weakref {
namespace {

using support::AwaitThat;
using support::Gate;
using Cache = WeakValueCache<int, std::string>;
using Result = absl::StatusOr<StrongRef<std::string>>;

// n threads in a ring: thread i loads key i of caches[i], and asks, inside, for key i + 1 of
// caches[i + 1], which is being loaded. Returns what each inner request got.
std::vector<absl::Status> RunRing(const std::vector<Cache*>& caches) {
  const int n = static_cast<int>(caches.size());
  std::vector<Gate> loading(n);
  std::vector<absl::Status> inner(n);
  std::vector<Result> outer(n, absl::InternalError("no result"));
  support::RunThreads(n, [&](int i) {
    outer[i] = caches[i]->GetOrCreate(i, [&](int) -> absl::StatusOr<std::string> {
      loading[i].Open();
      for (Gate& gate : loading) gate.Wait();
      const int next = (i + 1) % n;
      const Result result = caches[next]->GetOrCreate(
          next, [](int) -> absl::StatusOr<std::string> { return "loaded by another"; });
      inner[i] = result.status();
      if (!result.ok()) return "broken";
      return "waited";
    });
  });
  for (const Result& result : outer) EXPECT_TRUE(result.ok()) << result.status();
  return inner;
}

void ExpectBrokenOnce(const std::vector<absl::Status>& inner) {
  int errors = 0;
  for (const absl::Status& status : inner) {
    if (status.ok()) continue;
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    ++errors;
  }
  EXPECT_EQ(errors, 1) << "the one that closes the circle, and nobody else";
}

TEST(CacheCycle, StartThatBlocksOnItsOwnLoadIsAnError) {
  Cache cache;
  absl::Status inner;
  Result outer = absl::InternalError("no result");
  cache.StartGetOrCreate(
      1,
      [&](int, LoadContext&, LoadCompletion<std::string> completion) {
        const Result own = cache.GetOrCreate(
            1, [](int) -> absl::StatusOr<std::string> { return "a second load"; });
        inner = own.status();
        const Result other =
            cache.GetOrCreate(2, [](int) -> absl::StatusOr<std::string> { return "another key"; });
        EXPECT_TRUE(other.ok()) << other.status();
        completion.Complete(std::string("loaded"));
      },
      [&](Result result) { outer = std::move(result); });
  EXPECT_EQ(inner.code(), absl::StatusCode::kFailedPrecondition) << inner;
  ASSERT_TRUE(outer.ok()) << outer.status();
  EXPECT_EQ(**outer, "loaded");
}

TEST(CacheCycle, OfTwoThreads) {
  Cache cache;
  for (int i = 0; i < 50; ++i) ExpectBrokenOnce(RunRing({&cache, &cache}));
}

TEST(CacheCycle, OfManyThreads) {
  Cache cache;
  ExpectBrokenOnce(RunRing(std::vector<Cache*>(6, &cache)));
}

TEST(CacheCycle, ThroughSeveralCaches) {
  Cache a(CacheOptions{.shards = 1});
  Cache b(CacheOptions{.shards = 1});
  Cache c(CacheOptions{.shards = 1});
  ExpectBrokenOnce(RunRing({&a, &b, &c}));
}

TEST(CacheCycle, IsThrownWhereTheLoaderReturnsAValue) {
  Cache cache;
  Gate a_loads, b_loads;
  std::array<absl::StatusCode, 2> codes{};
  support::RunThreads(2, [&](int i) {
    (void)cache.GetOrCreate(i, [&](int) -> std::string {
      (i == 0 ? a_loads : b_loads).Open();
      a_loads.Wait();
      b_loads.Wait();
      try {
        return *cache.GetOrCreate(1 - i, [](int) { return "inner"; });
      } catch (const CacheError& error) {
        codes[i] = error.code();
        return "broken";
      }
    });
  });
  EXPECT_TRUE((codes[0] == absl::StatusCode::kFailedPrecondition) !=
              (codes[1] == absl::StatusCode::kFailedPrecondition));
}

// A waiter that left by its deadline must not leave an edge behind: the same pair asks again, in
// the other order, without a circle.
TEST(CacheCycle, AWaitThatWasLeftIsForgotten) {
  Cache cache;
  Gate b_loads, a_gave_up, a_done;
  std::thread b([&] {
    const auto object = cache.GetOrCreate(2, [&](int) {
      b_loads.Open();
      a_gave_up.Wait();
      // Thread a runs load 1 still. It waits for nothing now.
      const Result result =
          cache.GetOrCreate(1, [](int) -> absl::StatusOr<std::string> { return "no"; });
      EXPECT_TRUE(result.ok()) << result.status();
      return "b";
    });
  });
  std::thread a([&] {
    const auto object = cache.GetOrCreate(1, [&](int) {
      b_loads.Wait();
      const Result result = cache.GetOrCreate(
          2, [](int) -> absl::StatusOr<std::string> { return "no"; },
          WaitOptions{.deadline = absl::Now() + absl::Milliseconds(10)});
      EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
      a_gave_up.Open();
      AwaitThat([&] { return cache.Stats().loads_shared == 2; });
      return "a";
    });
    a_done.Open();
  });
  a.join();
  b.join();
}

TEST(CacheCycle, AWaitThatWasStoppedIsForgotten) {
  Cache cache;
  Gate b_loads, a_gave_up;
  std::stop_source stop;
  std::thread b([&] {
    const auto object = cache.GetOrCreate(2, [&](int) {
      b_loads.Open();
      AwaitThat([&] { return cache.Stats().loads_shared == 1; });
      stop.request_stop();
      a_gave_up.Wait();
      const Result result =
          cache.GetOrCreate(1, [](int) -> absl::StatusOr<std::string> { return "no"; });
      EXPECT_TRUE(result.ok()) << result.status();
      return "b";
    });
  });
  std::thread a([&] {
    const auto object = cache.GetOrCreate(1, [&](int) {
      b_loads.Wait();
      const Result result = cache.GetOrCreate(
          2, [](int) -> absl::StatusOr<std::string> { return "no"; },
          WaitOptions{.stop = stop.get_token()});
      EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
      a_gave_up.Open();
      AwaitThat([&] { return cache.Stats().loads_shared == 2; });
      return "a";
    });
  });
  a.join();
  b.join();
}

// One thread, two loads nested; others wait for both of them.
TEST(CacheCycle, WaitingForANestedLoadIsNone) {
  Cache cache;
  Gate nested;
  std::vector<std::thread> waiters;
  std::thread leader([&] {
    const auto outer = cache.GetOrCreate(1, [&](int) {
      return *cache.GetOrCreate(2, [&](int) {
        nested.Open();
        AwaitThat([&] { return cache.Stats().loads_shared == 4; });
        return "nested";
      });
    });
  });
  nested.Wait();
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&, i] {
      // Each waits while it runs a load of its own.
      const auto own = cache.GetOrCreate(10 + i, [&](int) -> absl::StatusOr<std::string> {
        const Result result =
            cache.GetOrCreate(1 + i % 2, [](int) -> absl::StatusOr<std::string> { return "no"; });
        EXPECT_TRUE(result.ok()) << result.status();
        return **result;
      });
      EXPECT_EQ(**own, "nested");
    });
  }
  leader.join();
  for (std::thread& waiter : waiters) waiter.join();
}

TEST(CacheCycle, WaitingForAnAsynchronousLoadIsNone) {
  Cache cache;
  std::optional<LoadCompletion<std::string>> completion;
  cache.StartGetOrCreate(
      2,
      [&](int, LoadContext&, LoadCompletion<std::string> c) { completion.emplace(std::move(c)); },
      [](const auto&) {});
  std::thread waiter([&] {
    EXPECT_EQ(
        *cache.GetOrCreate(1, [&](int) { return *cache.GetOrCreate(2, [](int) { return "no"; }); }),
        "async");
  });
  AwaitThat([&] { return cache.Stats().loads_shared == 1; });
  completion->Complete(std::string("async"));
  waiter.join();
}

// Oracle: a load of key k asks for smaller keys only, so no circle can exist: every request gets
// its object, none an error, and all end.
TEST(CacheCycleStress, NestedLoadsWithoutACircleNeverFail) {
  const uint64_t seed = support::TestSeed();
  const int rounds = support::ScaledIterations(3000);
  Cache cache(CacheOptions{.shards = 4});
  std::atomic<int> errors{0};
  std::function<absl::StatusOr<std::string>(int, uint64_t)> load =
      [&](int key, uint64_t random) -> absl::StatusOr<std::string> {
    for (int asks = static_cast<int>(random % 3); asks > 0 && key > 0; --asks) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      const int other = static_cast<int>((random >> 33) % static_cast<uint64_t>(key));
      const Result inner =
          cache.GetOrCreate(other, [&](int k) { return load(k, random ^ 0x9e3779b97f4a7c15); });
      if (!inner.ok()) {
        ++errors;
        return inner.status();
      }
    }
    return std::to_string(key);
  };
  support::RunThreads(4, [&](int thread) {
    uint64_t random = seed + static_cast<uint64_t>(thread);
    for (int i = 0; i < rounds; ++i) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      const int key = static_cast<int>((random >> 40) % 12);
      const Result result = cache.GetOrCreate(key, [&](int k) { return load(k, random >> 7); });
      if (!result.ok()) {
        ++errors;
        ADD_FAILURE() << result.status();
        return;
      }
      ASSERT_EQ(**result, std::to_string(key));
    }
  });
  EXPECT_EQ(errors, 0);
  EXPECT_TRUE(cache.empty());
}

// Oracle: keys are asked for in any order, so circles occur; each ends in an error for somebody,
// and every request ends.
TEST(CacheCycleStress, NestedLoadsWithCirclesAllEnd) {
  const uint64_t seed = support::TestSeed();
  const int rounds = support::ScaledIterations(3000);
  Cache cache(CacheOptions{.shards = 1});
  std::atomic<int> circles{0};
  support::RunThreads(4, [&](int thread) {
    uint64_t random = seed + static_cast<uint64_t>(thread);
    for (int i = 0; i < rounds; ++i) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      const int key = static_cast<int>((random >> 40) % 4);
      const Result result = cache.GetOrCreate(key, [&](int k) -> absl::StatusOr<std::string> {
        std::this_thread::yield();
        const Result inner = cache.GetOrCreate(static_cast<int>((k + 1 + (random >> 50) % 3) % 4),
                                               [](int) -> absl::StatusOr<std::string> {
                                                 std::this_thread::yield();
                                                 return "inner";
                                               });
        if (!inner.ok()) return inner.status();
        return "outer";
      });
      if (!result.ok()) {
        ASSERT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
        ++circles;
      }
    }
  });
  RecordProperty("circles", circles.load());
  EXPECT_TRUE(cache.empty());
  EXPECT_EQ(cache.Stats().loading, 0u);
}

}  // namespace
}  // namespace weakref
