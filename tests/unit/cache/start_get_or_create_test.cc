// The asynchronous front: who completes a load, how, and what comes of a completion that is lost.

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/weak_value_cache_test_peer.h"
#include "weakref/expiry_callback.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using Cache = WeakValueCache<int, std::string>;
using Completion = LoadCompletion<std::string>;
using Result = absl::StatusOr<StrongRef<std::string>>;
using Peer = WeakValueCacheTestPeer;

// One request of key 1; `start` gets (key, context, completion). What `done` was called with.
struct Outcome {
  std::vector<Result> results;
  const Result& only() const {
    EXPECT_EQ(results.size(), 1u);
    return results.front();
  }
};
template <class Start>
void Request(Cache& cache, Outcome& outcome, Start start) {
  cache.StartGetOrCreate(
      1, start, [&outcome](Result result) { outcome.results.push_back(std::move(result)); });
}

TEST(CacheStart, CompletesInsideStart) {
  Cache cache;
  Outcome outcome;
  Request(cache, outcome, [](int key, LoadContext&, Completion completion) {
    completion.Complete(std::to_string(key));
  });
  ASSERT_TRUE(outcome.only().ok());
  EXPECT_EQ(**outcome.only(), "1");
  EXPECT_EQ(cache.Find(1), *outcome.only());
}

TEST(CacheStart, CompletesFromAnotherThread) {
  Cache cache;
  Outcome outcome;
  std::optional<Completion> completion;
  Request(cache, outcome,
          [&](int, LoadContext&, Completion c) { completion.emplace(std::move(c)); });
  std::thread([&] { completion->Complete(std::string("elsewhere")); }).join();
  EXPECT_EQ(**outcome.only(), "elsewhere");
}

TEST(CacheStart, CompletesWithAnObjectThatExists) {
  Cache cache;
  Outcome outcome;
  const StrongRef<std::string> own = MakeStrong<std::string>("own");
  Request(cache, outcome, [&](int, LoadContext&, Completion c) { c.Complete(own); });
  EXPECT_EQ(*outcome.only(), own);
  EXPECT_EQ(cache.Find(1), own);
}

TEST(CacheStart, CompletesWithStatus) {
  Cache cache;
  Outcome outcome;
  Request(cache, outcome,
          [](int, LoadContext&, Completion c) { c.Complete(absl::DataLossError("torn")); });
  EXPECT_EQ(outcome.only().status(), absl::DataLossError("torn"));
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

TEST(CacheStart, CompletesWithStatusOr) {
  Cache cache;
  Outcome good, bad;
  Request(cache, bad, [](int, LoadContext&, Completion c) {
    c.Complete(absl::StatusOr<std::string>(absl::DataLossError("torn")));
  });
  EXPECT_EQ(bad.only().status(), absl::DataLossError("torn"));
  Request(cache, good,
          [](int, LoadContext&, Completion c) { c.Complete(absl::StatusOr<std::string>("well")); });
  EXPECT_EQ(**good.only(), "well");
}

TEST(CacheStart, CompletesWithException) {
  Cache cache;
  Outcome outcome;
  Request(cache, outcome, [](int, LoadContext&, Completion c) {
    c.Complete(std::make_exception_ptr(std::runtime_error("torn")));
  });
  EXPECT_EQ(outcome.only().status().code(), absl::StatusCode::kUnknown);
  EXPECT_NE(outcome.only().status().message().find("torn"), std::string::npos);
}

TEST(CacheStart, NullReferenceIsAnError) {
  Cache cache;
  Outcome outcome;
  Request(cache, outcome,
          [](int, LoadContext&, Completion c) { c.Complete(Result(StrongRef<std::string>())); });
  EXPECT_EQ(outcome.only().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CacheStart, ReferenceThatOwnsNothingIsAnError) {
  Cache cache;
  Outcome outcome;
  static std::string nobodys;
  Request(cache, outcome, [](int, LoadContext&, Completion c) {
    c.Complete(Result(StrongRef<std::string>(StrongRef<std::string>(), &nobodys)));
  });
  EXPECT_EQ(outcome.only().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CacheStart, LostCompletionFailsTheLoad) {
  Cache cache;
  Outcome outcome;
  Request(cache, outcome, [](int, LoadContext&, Completion) {});
  EXPECT_EQ(outcome.only().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
  EXPECT_EQ(cache.Stats().loading, 0u);
}

TEST(CacheStart, CompletionLostLaterFailsTheLoad) {
  Cache cache;
  Outcome outcome;
  std::optional<Completion> completion;
  Request(cache, outcome,
          [&](int, LoadContext&, Completion c) { completion.emplace(std::move(c)); });
  EXPECT_TRUE(outcome.results.empty());
  completion.reset();
  EXPECT_EQ(outcome.only().status().code(), absl::StatusCode::kCancelled);
}

TEST(CacheStart, CompletionThatIsAssignedOverFailsItsLoad) {
  Cache cache;
  Outcome first;
  std::vector<Result> second;
  std::optional<Completion> a;
  std::optional<Completion> b;
  Request(cache, first, [&](int, LoadContext&, Completion c) { a.emplace(std::move(c)); });
  cache.StartGetOrCreate(
      2, [&](int, LoadContext&, Completion c) { b.emplace(std::move(c)); },
      [&](Result result) { second.push_back(std::move(result)); });
  *a = *std::move(b);
  EXPECT_FALSE(static_cast<bool>(*b));
  EXPECT_EQ(first.only().status().code(), absl::StatusCode::kCancelled);
  ASSERT_TRUE(second.empty());
  a->Complete(std::string("two"));
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(**second.front(), "two");
}

TEST(CacheStart, ExceptionOutOfStartFailsTheLoadWithItsMessage) {
  Cache cache;
  Outcome outcome;
  EXPECT_NO_THROW(Request(cache, outcome, [](int, LoadContext&, Completion) {
    throw std::runtime_error("no connection");
  }));
  EXPECT_EQ(outcome.only().status().code(), absl::StatusCode::kUnknown);
  EXPECT_NE(outcome.only().status().message().find("no connection"), std::string::npos);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

TEST(CacheStart, ExceptionAfterGivingTheCompletionAwayIsReportedAndTheLoadGoesOn) {
  static std::vector<std::string> reported;
  const ExpiryExceptionHandler former = SetExpiryExceptionHandler([](std::exception_ptr exception) {
    try {
      std::rethrow_exception(exception);
    } catch (const std::exception& e) {
      reported.push_back(e.what());
    }
  });
  Cache cache;
  Outcome outcome;
  std::optional<Completion> completion;
  Request(cache, outcome, [&](int, LoadContext&, Completion c) {
    completion.emplace(std::move(c));
    throw std::runtime_error("afterwards");
  });
  EXPECT_TRUE(outcome.results.empty());
  completion->Complete(std::string("loaded"));
  EXPECT_TRUE(outcome.only().ok());
  SetExpiryExceptionHandler(former);
  EXPECT_EQ(reported, std::vector<std::string>{"afterwards"});
}

TEST(CacheStart, ExceptionOutOfDoneIsReportedAndTheOthersAreStillCalled) {
  static int reported = 0;
  const ExpiryExceptionHandler former =
      SetExpiryExceptionHandler([](std::exception_ptr) { ++reported; });
  Cache cache;
  std::optional<Completion> completion;
  int called = 0;
  for (int i = 0; i < 3; ++i) {
    cache.StartGetOrCreate(
        1, [&](int, LoadContext&, Completion c) { completion.emplace(std::move(c)); },
        [&, i](const Result&) {
          ++called;
          if (i == 1) throw std::runtime_error("listener");
        });
  }
  completion->Complete(std::string("loaded"));
  SetExpiryExceptionHandler(former);
  EXPECT_EQ(called, 3);
  EXPECT_EQ(reported, 1);
}

TEST(CacheStart, CompletesAllWhoJoinedWithOneObject) {
  Cache cache;
  std::optional<Completion> completion;
  std::vector<StrongRef<std::string>> got;
  for (int i = 0; i < 100; ++i) {
    cache.StartGetOrCreate(
        1,
        [&](int, LoadContext&, Completion c) {
          ASSERT_FALSE(completion.has_value());
          completion.emplace(std::move(c));
        },
        [&](Result result) { got.push_back(*std::move(result)); });
  }
  EXPECT_TRUE(got.empty());
  completion->Complete(std::string("one"));
  ASSERT_EQ(got.size(), 100u);
  for (const auto& object : got) EXPECT_EQ(object, got.front());
  EXPECT_EQ(got.front().use_count(), 100);
  const WeakRef<std::string> weak(got.front());
  got.clear();
  EXPECT_TRUE(weak.expired()) << "a count was lost";
  EXPECT_EQ(cache.Stats().loads_shared, 99u);
}

TEST(CacheStart, MoveOnlyDone) {
  Cache cache;
  auto state = std::make_unique<int>(7);
  int seen = 0;
  cache.StartGetOrCreate(
      1, [](int, LoadContext&, Completion c) { c.Complete(std::string("loaded")); },
      [&seen, state = std::move(state)](const Result&) { seen = *state; });
  EXPECT_EQ(seen, 7);
}

TEST(CacheStart, DoneMayUseTheCache) {
  Cache cache;
  StrongRef<std::string> found;
  cache.StartGetOrCreate(
      1, [](int, LoadContext&, Completion c) { c.Complete(std::string("loaded")); },
      [&](Result result) {
        found = cache.Find(1);
        EXPECT_EQ(found, *result);
        cache.Invalidate(1);
        EXPECT_EQ(*cache.GetOrCreate(1, [](int) { return "again"; }), "again");
      });
  EXPECT_EQ(*found, "loaded");
}

TEST(CacheStart, DroppedResultEndsTheObject) {
  Cache cache;
  cache.StartGetOrCreate(
      1, [](int, LoadContext&, Completion c) { c.Complete(std::string("loaded")); },
      [](const Result&) {});
  EXPECT_EQ(cache.Find(1), nullptr);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
  EXPECT_EQ(cache.Stats().deaths, 1u);
}

TEST(CacheStart, NestedStartsKeepTheirFailuresApart) {
  Cache cache;
  Outcome outer;
  std::vector<Result> inner;
  Request(cache, outer, [&](int, LoadContext&, Completion outer_completion) {
    cache.StartGetOrCreate(
        2, [](int, LoadContext&, Completion) { throw std::runtime_error("inner"); },
        [&](Result result) { inner.push_back(std::move(result)); });
    ASSERT_EQ(inner.size(), 1u) << "told at once";
    outer_completion.Complete(std::string("outer"));
  });
  EXPECT_NE(inner.front().status().message().find("inner"), std::string::npos);
  EXPECT_EQ(**outer.only(), "outer");
}

// The frame that remembers which load `start` is starting must not take a later load, which happens
// to lie at the same address, for its own.
TEST(CacheStart, CompletionLostInsideAnotherLoadsStartFailsItsOwnLoadOnly) {
  Cache cache;
  Outcome outer;
  std::vector<Result> inner;
  bool told_at_once = false;
  try {
    Request(cache, outer, [&](int, LoadContext&, Completion outer_completion) {
      outer_completion.Complete(std::string("outer"));  // frees the outer load
      std::optional<Completion> held;
      cache.StartGetOrCreate(
          2, [&](int, LoadContext&, Completion c) { held.emplace(std::move(c)); },
          [&](Result result) { inner.push_back(std::move(result)); });
      held.reset();
      told_at_once = inner.size() == 1;
    });
  } catch (...) {
    ADD_FAILURE();
  }
  EXPECT_TRUE(told_at_once);
  ASSERT_EQ(inner.size(), 1u);
  EXPECT_EQ(inner.front().status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(outer.only().ok());
}

TEST(CacheStart, MoveOnlyKeyAndValue) {
  WeakValueCache<std::string, std::unique_ptr<int>> cache;
  StrongRef<std::unique_ptr<int>> got;
  cache.StartGetOrCreate(
      "key",
      [](const std::string& key, LoadContext&, LoadCompletion<std::unique_ptr<int>> completion) {
        completion.Complete(std::make_unique<int>(static_cast<int>(key.size())));
      },
      [&](absl::StatusOr<StrongRef<std::unique_ptr<int>>> result) { got = *std::move(result); });
  EXPECT_EQ(**got, 3);
}

}  // namespace
}  // namespace weakref
