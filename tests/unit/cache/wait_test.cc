// Waiting for somebody else's load, and leaving early: deadline, stop token, both fronts.

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/await_that.h"
#include "tests/support/cache/weak_value_cache_test_peer.h"
#include "tests/support/gate.h"
#include "tests/support/run_threads.h"

namespace weakref {
namespace {

using support::AwaitThat;
using support::Gate;
using Cache = WeakValueCache<int, std::string>;
using Peer = WeakValueCacheTestPeer;

auto Unused() {
  return [](int) -> absl::StatusOr<std::string> {
    ADD_FAILURE() << "the loader ran";
    return "unused";
  };
}

// A blocking load of key 1 in another thread that goes on when told.
class BlockingLoad {
 public:
  explicit BlockingLoad(Cache& cache)
      : thread_([this, &cache] {
          object_ = cache.GetOrCreate(1, [this](int) {
            loading_.Open();
            go_on_.Wait();
            return "loaded";
          });
        }) {
    loading_.Wait();
  }
  ~BlockingLoad() { Finish(); }
  StrongRef<std::string> Finish() {
    go_on_.Open();
    if (thread_.joinable()) thread_.join();
    return object_;
  }

 private:
  Gate loading_, go_on_;
  StrongRef<std::string> object_;
  std::thread thread_;
};

// ---- blocking ----

TEST(CacheWait, DeadlineEndsTheWaitNotTheLoad) {
  Cache cache;
  BlockingLoad load(cache);
  const auto late =
      cache.GetOrCreate(1, Unused(), WaitOptions{.deadline = absl::Now() + absl::Milliseconds(20)});
  EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(cache.Stats().waits_left, 1u);
  EXPECT_EQ(cache.Stats().loading, 1u);
  const StrongRef<std::string> object = load.Finish();
  EXPECT_EQ(*object, "loaded");
  EXPECT_EQ(cache.Find(1), object);
}

TEST(CacheWait, DeadlineInThePastDoesNotWait) {
  Cache cache;
  BlockingLoad load(cache);
  const auto late = cache.GetOrCreate(1, Unused(), WaitOptions{.deadline = absl::InfinitePast()});
  EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(CacheWait, DeadlineThrowsWhereTheLoaderReturnsAValue) {
  Cache cache;
  BlockingLoad load(cache);
  try {
    cache.GetOrCreate(
        1, [](int) { return ""; }, WaitOptions{.deadline = absl::InfinitePast()});
    FAIL() << "nothing thrown";
  } catch (const CacheError& error) {
    EXPECT_EQ(error.code(), absl::StatusCode::kDeadlineExceeded);
  }
}

TEST(CacheWait, DeadlineDoesNotInterruptTheOwnLoad) {
  Cache cache;
  const auto object = cache.GetOrCreate(
      1, [](int) { return "loaded"; }, WaitOptions{.deadline = absl::InfinitePast()});
  EXPECT_EQ(*object, "loaded");
}

TEST(CacheWait, DeadlineDoesNotSpoilAHit) {
  Cache cache;
  const auto object = cache.Insert(1, "live");
  EXPECT_EQ(*cache.GetOrCreate(1, Unused(), WaitOptions{.deadline = absl::InfinitePast()}), object);
}

TEST(CacheWait, StopTokenThatHasStoppedEndsTheWaitAtOnce) {
  Cache cache;
  BlockingLoad load(cache);
  std::stop_source stop;
  stop.request_stop();
  const auto result = cache.GetOrCreate(1, Unused(), WaitOptions{.stop = stop.get_token()});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(cache.Stats().waits_left, 1u);
}

TEST(CacheWait, StopTokenDoesNotInterruptTheOwnLoadOrAHit) {
  Cache cache;
  std::stop_source stop;
  stop.request_stop();
  const WaitOptions stopped{.stop = stop.get_token()};
  const auto object = cache.GetOrCreate(
      1, [](int) { return "loaded"; }, stopped);
  EXPECT_EQ(*object, "loaded");
  EXPECT_EQ(*cache.GetOrCreate(1, Unused(), stopped), object);
}

TEST(CacheWait, StopLaterEndsTheWait) {
  Cache cache;
  BlockingLoad load(cache);
  std::stop_source stop;
  absl::Status heard;
  std::thread waiter([&] {
    heard = cache.GetOrCreate(1, Unused(), WaitOptions{.stop = stop.get_token()}).status();
  });
  AwaitThat([&] { return cache.Stats().loads_shared == 1; });
  stop.request_stop();
  waiter.join();  // while the load hangs
  EXPECT_EQ(heard.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(*load.Finish(), "loaded");
}

TEST(CacheWait, OneWaiterLeavingDisturbsNoOther) {
  Cache cache;
  BlockingLoad load(cache);
  std::stop_source stop;
  std::vector<absl::StatusOr<StrongRef<std::string>>> results(3);
  std::vector<std::thread> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.emplace_back([&, i] {
      results[i] = cache.GetOrCreate(
          1, Unused(), WaitOptions{.stop = i == 1 ? stop.get_token() : std::stop_token()});
    });
    AwaitThat([&] { return cache.Stats().loads_shared == static_cast<uint64_t>(i + 1); });
  }
  stop.request_stop();
  waiters[1].join();
  const StrongRef<std::string> object = load.Finish();
  waiters[0].join();
  waiters[2].join();
  EXPECT_EQ(results[1].status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(*results[0], object);
  EXPECT_EQ(*results[2], object);
}

// Whichever comes first, the waiter gets the object or kCancelled, nothing leaks, nothing hangs.
TEST(CacheWait, StopAgainstCompletion) {
  int cancelled = 0;
  for (int i = 0; i < 300; ++i) {
    Cache cache(CacheOptions{.shards = 1});
    std::optional<LoadCompletion<std::string>> completion;
    cache.StartGetOrCreate(
        1,
        [&](int, LoadContext&, LoadCompletion<std::string> c) { completion.emplace(std::move(c)); },
        [](const auto&) {});
    std::stop_source stop;
    absl::StatusOr<StrongRef<std::string>> result = absl::InternalError("no result");
    std::thread waiter(
        [&] { result = cache.GetOrCreate(1, Unused(), WaitOptions{.stop = stop.get_token()}); });
    AwaitThat([&] { return cache.Stats().loads_shared == 1; });
    support::RunThreads(2, [&](int thread) {
      if (thread == 0) {
        stop.request_stop();
      } else {
        completion->Complete(std::string("loaded"));
      }
    });
    waiter.join();
    if (result.ok()) {
      EXPECT_EQ(**result, "loaded");
    } else {
      EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
      ++cancelled;
    }
    EXPECT_EQ(cache.Stats().waits_left, result.ok() ? 0u : 1u);
    result = absl::InternalError("dropped");
    EXPECT_EQ(Peer::TableCount(cache), 0u);
  }
  RecordProperty("cancelled", cancelled);
}

TEST(CacheWait, DeadlineAgainstCompletion) {
  for (int i = 0; i < 100; ++i) {
    Cache cache(CacheOptions{.shards = 1});
    std::optional<LoadCompletion<std::string>> completion;
    cache.StartGetOrCreate(
        1,
        [&](int, LoadContext&, LoadCompletion<std::string> c) { completion.emplace(std::move(c)); },
        [](const auto&) {});
    absl::StatusOr<StrongRef<std::string>> result = absl::InternalError("no result");
    const absl::Time deadline = absl::Now() + absl::Microseconds(300);
    std::thread waiter(
        [&] { result = cache.GetOrCreate(1, Unused(), WaitOptions{.deadline = deadline}); });
    AwaitThat([&] { return cache.Stats().loads_shared == 1 && absl::Now() >= deadline; });
    completion->Complete(std::string("loaded"));
    waiter.join();
    if (!result.ok()) {
      EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
    }
  }
}

// ---- asynchronous ----

// Requests of key 1 and what became of them.
struct Request {
  std::stop_source stop;
  std::optional<absl::StatusOr<StrongRef<std::string>>> result;
  int calls = 0;
};
struct Started {
  std::optional<LoadCompletion<std::string>> completion;
  std::stop_token stop;
};

// Returns the load that began, if one did.
std::unique_ptr<Started> StartRequest(Cache& cache, Request& request) {
  auto started = std::make_unique<Started>();
  bool began = false;
  cache.StartGetOrCreate(
      1,
      [&](int, LoadContext& context, LoadCompletion<std::string> completion) {
        began = true;
        started->stop = context.stop_token();
        started->completion.emplace(std::move(completion));
      },
      [&request](absl::StatusOr<StrongRef<std::string>> result) {
        ++request.calls;
        request.result = std::move(result);
      },
      WaitOptions{.stop = request.stop.get_token()});
  return began ? std::move(started) : nullptr;
}

TEST(CacheAsyncWait, StopEndsOneRequestTheLoadGoesOnForTheOthers) {
  Cache cache;
  Request first, second;
  const auto load = StartRequest(cache, first);
  EXPECT_EQ(StartRequest(cache, second), nullptr);
  first.stop.request_stop();  // also the one that began the load
  ASSERT_TRUE(first.result.has_value());
  EXPECT_EQ(first.result->status().code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(load->stop.stop_requested());
  load->completion->Complete(std::string("loaded"));
  ASSERT_TRUE(second.result.has_value());
  EXPECT_EQ(***second.result, "loaded");
  EXPECT_EQ(first.calls, 1);
  EXPECT_EQ(second.calls, 1);
}

TEST(CacheAsyncWait, LastRequestLeavingCancelsTheLoadAndRemovesItInOneStep) {
  Cache cache;
  Request first, second;
  const auto load = StartRequest(cache, first);
  EXPECT_EQ(StartRequest(cache, second), nullptr);
  first.stop.request_stop();
  // A stop callback of the context is the earliest observer of the cancellation: the load has left
  // the cache by then, so what asks here begins anew.
  Request newcomer;
  std::unique_ptr<Started> new_load;
  {
    std::stop_callback on_stop(load->stop, [&] { new_load = StartRequest(cache, newcomer); });
    second.stop.request_stop();
  }
  EXPECT_TRUE(load->stop.stop_requested());
  ASSERT_NE(new_load, nullptr) << "the newcomer inherited a cancelled load";
  EXPECT_EQ(second.result->status().code(), absl::StatusCode::kCancelled);
  load->completion->Complete(std::string("too late"));
  EXPECT_FALSE(newcomer.result.has_value());
  EXPECT_EQ(cache.Find(1), nullptr);
  new_load->completion->Complete(std::string("fresh"));
  EXPECT_EQ(***newcomer.result, "fresh");
  EXPECT_EQ(cache.Find(1), **newcomer.result);
}

TEST(CacheAsyncWait, ARequestThatComesBeforeTheLastLeavesKeepsTheLoad) {
  Cache cache;
  Request first, second;
  const auto load = StartRequest(cache, first);
  EXPECT_EQ(StartRequest(cache, second), nullptr);
  first.stop.request_stop();
  EXPECT_FALSE(load->stop.stop_requested());
  load->completion->Complete(std::string("loaded"));
  EXPECT_TRUE(second.result->ok());
}

TEST(CacheAsyncWait, CancelledLoadMayFailTooAndDisturbsNothing) {
  Cache cache;
  Request first;
  const auto load = StartRequest(cache, first);
  first.stop.request_stop();
  EXPECT_EQ(Peer::TableCount(cache), 0u);
  const auto inserted = cache.Insert(1, "inserted");
  load->completion->Complete(absl::AbortedError("stopped as told"));
  EXPECT_EQ(cache.Find(1), inserted);
  EXPECT_EQ(first.calls, 1);
}

TEST(CacheAsyncWait, StopTokenThatHasStoppedCancels) {
  Cache cache;
  Request request;
  request.stop.request_stop();
  const auto load = StartRequest(cache, request);
  ASSERT_TRUE(request.result.has_value());
  EXPECT_EQ(request.result->status().code(), absl::StatusCode::kCancelled);
  if (load != nullptr) {
    EXPECT_TRUE(load->stop.stop_requested()) << "a load for nobody";
    load->completion->Complete(std::string("for nobody"));
  }
  EXPECT_EQ(request.calls, 1);
  EXPECT_EQ(cache.Find(1), nullptr);
  Request next;
  EXPECT_NE(StartRequest(cache, next), nullptr) << "the next request begins anew";
}

TEST(CacheAsyncWait, StopAfterTheResultDoesNothing) {
  Cache cache;
  Request request;
  const auto load = StartRequest(cache, request);
  load->completion->Complete(std::string("loaded"));
  request.stop.request_stop();
  EXPECT_EQ(request.calls, 1);
  EXPECT_TRUE(request.result->ok());
  EXPECT_EQ(cache.Stats().waits_left, 0u);
}

TEST(CacheAsyncWait, StopAgainstCompletion) {
  for (int i = 0; i < 500; ++i) {
    Cache cache(CacheOptions{.shards = 1});
    Request request;
    const auto load = StartRequest(cache, request);
    support::RunThreads(2, [&](int thread) {
      if (thread == 0) {
        request.stop.request_stop();
      } else {
        load->completion->Complete(std::string("loaded"));
      }
    });
    ASSERT_EQ(request.calls, 1);
    if (request.result->ok()) {
      EXPECT_EQ(cache.Find(1), **request.result);
    } else {
      EXPECT_EQ(request.result->status().code(), absl::StatusCode::kCancelled);
      EXPECT_EQ(Peer::TableCount(cache), 0u);
    }
  }
}

TEST(CacheAsyncWait, ABlockingJoinerKeepsTheLoadAfterItsFirstCallerLeft) {
  Cache cache;
  Request first;
  const auto load = StartRequest(cache, first);
  absl::StatusOr<StrongRef<std::string>> joined = absl::InternalError("no result");
  std::thread joiner([&] { joined = cache.GetOrCreate(1, Unused()); });
  AwaitThat([&] { return cache.Stats().loads_shared == 1; });
  first.stop.request_stop();
  EXPECT_FALSE(load->stop.stop_requested());
  load->completion->Complete(std::string("loaded"));
  joiner.join();
  EXPECT_EQ(**joined, "loaded");
}

TEST(CacheAsyncWait, ABlockingJoinerThatLeavesLastCancelsTheLoad) {
  Cache cache;
  Request first;
  const auto load = StartRequest(cache, first);
  std::stop_source stop;
  std::thread joiner([&] {
    EXPECT_EQ(cache.GetOrCreate(1, Unused(), WaitOptions{.stop = stop.get_token()}).status().code(),
              absl::StatusCode::kCancelled);
  });
  AwaitThat([&] { return cache.Stats().loads_shared == 1; });
  first.stop.request_stop();
  stop.request_stop();
  joiner.join();
  EXPECT_TRUE(load->stop.stop_requested());
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

}  // namespace
}  // namespace weakref
