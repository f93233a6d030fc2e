// What loaders may take, return and throw, and what GetOrCreate makes of it.

#include <exception>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/allocations.h"
#include "tests/support/cache/await_that.h"
#include "tests/support/cache/weak_value_cache_test_peer.h"
#include "tests/support/gate.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using support::AwaitThat;
using support::Gate;
using Cache = WeakValueCache<int, std::string>;
using Peer = WeakValueCacheTestPeer;

template <class F>
absl::Status CacheErrorOf(F&& f) {
  try {
    f();
  } catch (const CacheError& error) {
    return error.status();
  }
  return absl::OkStatus();
}

// ---- result forms ----

TEST(CacheLoader, ReturnsValue) {
  Cache cache;
  auto object = cache.GetOrCreate(1, [](int key) { return std::to_string(key); });
  static_assert(std::is_same_v<decltype(object), StrongRef<std::string>>);
  EXPECT_EQ(*object, "1");
}

TEST(CacheLoader, ReturnsWhatAValueIsMadeOf) {
  Cache cache;
  const StrongRef<std::string> object = cache.GetOrCreate(1, [](int) { return "literal"; });
  EXPECT_EQ(*object, "literal");
}

TEST(CacheLoader, ReturnsStrongRefWhichIsTheObject) {
  Cache cache;
  const StrongRef<std::string> own = MakeStrong<std::string>("own");
  auto object = cache.GetOrCreate(1, [&](int) { return own; });
  static_assert(std::is_same_v<decltype(object), StrongRef<std::string>>);
  EXPECT_EQ(object.get(), own.get());
  EXPECT_TRUE(object.owner_equal(own));
  EXPECT_EQ(cache.Find(1), own);
}

TEST(CacheLoader, ReturnsStatusOrValue) {
  Cache cache;
  auto object = cache.GetOrCreate(
      1, [](int key) -> absl::StatusOr<std::string> { return std::to_string(key); });
  static_assert(std::is_same_v<decltype(object), absl::StatusOr<StrongRef<std::string>>>);
  ASSERT_TRUE(object.ok());
  EXPECT_EQ(**object, "1");
  EXPECT_EQ(cache.Find(1), *object);
}

TEST(CacheLoader, ReturnsStatusOrStrongRef) {
  Cache cache;
  const StrongRef<std::string> own = MakeStrong<std::string>("own");
  auto object =
      cache.GetOrCreate(1, [&](int) -> absl::StatusOr<StrongRef<std::string>> { return own; });
  static_assert(std::is_same_v<decltype(object), absl::StatusOr<StrongRef<std::string>>>);
  ASSERT_TRUE(object.ok());
  EXPECT_EQ(*object, own);
  EXPECT_EQ(cache.Find(1), own);
}

TEST(CacheLoader, StatusOrHitReturnsTheObject) {
  Cache cache;
  const StrongRef<std::string> object = cache.Insert(1, "one");
  const auto hit = cache.GetOrCreate(
      1, [](int) -> absl::StatusOr<std::string> { return absl::DataLossError(""); });
  ASSERT_TRUE(hit.ok());
  EXPECT_EQ(*hit, object);
}

TEST(CacheLoader, NullStrongRefIsAnError) {
  Cache cache;
  const absl::Status status =
      CacheErrorOf([&] { cache.GetOrCreate(1, [](int) { return StrongRef<std::string>(); }); });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("null"), std::string::npos) << status;
  const auto result = cache.GetOrCreate(
      1, [](int) -> absl::StatusOr<StrongRef<std::string>> { return StrongRef<std::string>(); });
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

TEST(CacheLoader, StrongRefThatOwnsNothingIsAnError) {
  Cache cache;
  static std::string nobodys;
  const StrongRef<std::string> alias(StrongRef<std::string>(), &nobodys);
  const absl::Status status =
      CacheErrorOf([&] { cache.GetOrCreate(1, [&](int) { return alias; }); });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CacheErrorOf([&] { cache.Insert(1, alias); }).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(CacheLoader, TakesTheContext) {
  Cache cache;
  const auto object = cache.GetOrCreate(1, [](int key, LoadContext& context) {
    EXPECT_FALSE(context.stop_token().stop_requested());
    return std::to_string(key);
  });
  EXPECT_EQ(*object, "1");
}

TEST(CacheLoader, GetsTheKeyThatTheCacheKeeps) {
  WeakValueCache<std::string, const std::string*> cache;
  const auto first = cache.GetOrCreate(std::string_view("key"), [](const std::string& key) {
    EXPECT_EQ(key, "key");
    return &key;
  });
  cache.ForEach([&](const std::string& key, const StrongRef<const std::string*>& value) {
    EXPECT_EQ(&key, *value);
  });
}

TEST(CacheLoader, MayBeMoveOnlyAndKeepState) {
  Cache cache;
  auto loader = [text = std::make_unique<std::string>("moved"), calls = 0](int) mutable {
    ++calls;
    return *text + std::to_string(calls);
  };
  EXPECT_EQ(*cache.GetOrCreate(1, loader), "moved1");
  EXPECT_EQ(*cache.GetOrCreate(1, std::move(loader)), "moved2");
}

// ---- failure ----

struct Torn : std::runtime_error {
  Torn() : std::runtime_error("torn") {}
};

// Throws one object that is never freed, for tests that share it: the count that frees a shared
// exception is in libstdc++.so, where ThreadSanitizer does not see it.
[[noreturn]] void ThrowTorn() {
  static const std::exception_ptr torn = std::make_exception_ptr(Torn());
  std::rethrow_exception(torn);
}

// Runs `requests` of GetOrCreate(1) for one load that fails, each in its thread.
template <class Loader, class Request>
void FailForAll(Cache& cache, int joiners, Loader fail, Request request) {
  Gate loading, go_on;
  auto gated = [&](int key) {
    loading.Open();
    go_on.Wait();
    return fail(key);
  };
  std::vector<std::thread> threads;
  threads.emplace_back([&] { request(gated); });
  loading.Wait();
  for (int i = 0; i < joiners; ++i) threads.emplace_back([&] { request(gated); });
  AwaitThat([&] { return cache.Stats().loads_shared == static_cast<uint64_t>(joiners); });
  go_on.Open();
  for (std::thread& thread : threads) thread.join();
}

TEST(CacheLoader, TheSameExceptionObjectReachesAll) {
  Cache cache;
  std::mutex mutex;
  std::multiset<const Torn*> caught;
  std::vector<std::exception_ptr> kept;  // so that no address is used twice
  FailForAll(
      cache, 3, [](int) -> std::string { throw Torn(); },
      [&](auto& loader) {
        try {
          cache.GetOrCreate(1, loader);
        } catch (const Torn& torn) {
          const std::lock_guard<std::mutex> lock(mutex);
          caught.insert(&torn);
          kept.push_back(std::current_exception());
        }
      });
  ASSERT_EQ(caught.size(), 4u);
  EXPECT_EQ(caught.count(*caught.begin()), 4u);
  EXPECT_EQ(cache.Stats().load_failures, 1u);
}

TEST(CacheLoader, TheStatusReachesAll) {
  Cache cache;
  std::mutex mutex;
  std::vector<absl::Status> heard;
  FailForAll(
      cache, 3, [](int) -> absl::StatusOr<std::string> { return absl::DataLossError("torn"); },
      [&](auto& loader) {
        const auto result = cache.GetOrCreate(1, loader);
        const std::lock_guard<std::mutex> lock(mutex);
        heard.push_back(result.status());
      });
  ASSERT_EQ(heard.size(), 4u);
  for (const absl::Status& status : heard) EXPECT_EQ(status, absl::DataLossError("torn"));
}

TEST(CacheLoader, AStatusReachesAJoinerThatThrows) {
  Cache cache;
  std::optional<LoadCompletion<std::string>> completion;
  cache.StartGetOrCreate(
      1,
      [&](int, LoadContext&, LoadCompletion<std::string> c) { completion.emplace(std::move(c)); },
      [](const auto&) {});
  absl::Status heard;
  std::thread joiner(
      [&] { heard = CacheErrorOf([&] { cache.GetOrCreate(1, [](int) { return ""; }); }); });
  AwaitThat([&] { return cache.Stats().loads_shared == 1; });
  completion->Complete(absl::DataLossError("torn"));
  joiner.join();
  EXPECT_EQ(heard, absl::DataLossError("torn"));
}

TEST(CacheLoader, AnExceptionReachesAStatusOrJoinerWithItsMessage) {
  Cache cache;
  Gate loading, go_on;
  std::thread leader([&] {
    EXPECT_THROW(cache.GetOrCreate(1,
                                   [&](int) -> std::string {
                                     loading.Open();
                                     go_on.Wait();
                                     ThrowTorn();
                                   }),
                 Torn);
  });
  loading.Wait();
  absl::Status heard;
  std::thread joiner([&] {
    heard = cache.GetOrCreate(1, [](int) -> absl::StatusOr<std::string> { return ""; }).status();
  });
  AwaitThat([&] { return cache.Stats().loads_shared == 1; });
  go_on.Open();
  leader.join();
  joiner.join();
  EXPECT_EQ(heard.code(), absl::StatusCode::kUnknown);
  EXPECT_NE(heard.message().find("torn"), std::string::npos) << heard;
}

TEST(CacheLoader, AStatusOrLoaderThatThrowsGivesAStatus) {
  Cache cache;
  absl::Status status;
  EXPECT_NO_THROW(
      status =
          cache.GetOrCreate(1, [](int) -> absl::StatusOr<std::string> { throw Torn(); }).status());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown);
}

TEST(CacheLoader, FailureLeavesNoEntryAndTheNextCallTriesAgain) {
  Cache cache;
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(cache.GetOrCreate(1, [](int) -> std::string { throw Torn(); }), Torn);
    EXPECT_EQ(Peer::TableCount(cache), 0u);
    EXPECT_EQ(cache.size(), 0u);
  }
  EXPECT_EQ(*cache.GetOrCreate(1, [](int) { return "well"; }), "well");
  const CacheStats stats = cache.Stats();
  EXPECT_EQ(stats.loads, 4u);
  EXPECT_EQ(stats.load_failures, 3u);
  EXPECT_EQ(stats.loading, 0u);
}

TEST(CacheLoader, FailuresGiveTheirMemoryBack) {
  Cache cache(CacheOptions{.shards = 1});
  const auto fail = [&](int key) {
    EXPECT_THROW(cache.GetOrCreate(key, [](int) -> std::string { throw Torn(); }), Torn);
  };
  for (int i = 0; i < 100; ++i) fail(i);
  cache.Drain();
  const int64_t before = support::LiveBytes();
  for (int i = 0; i < 10000; ++i) fail(i);
  cache.Drain();
  EXPECT_LE(support::LiveBytes() - before, 64 << 10);
}

TEST(CacheLoader, ThrowingConstructorOfTheValueFailsTheLoad) {
  struct Picky {
    explicit Picky(int n) {
      if (n < 0) throw Torn();
    }
    Picky(const Picky&) = delete;
  };
  WeakValueCache<int, Picky> cache;
  EXPECT_THROW(cache.GetOrCreate(1, [](int) { return Picky(-1); }), Torn);
  EXPECT_NE(cache.GetOrCreate(1, [](int) { return Picky(1); }), nullptr);
}

TEST(CacheLoader, MemoryThatRunsOutChangesNothing) {
  Cache cache(CacheOptions{.shards = 1});
  (void)cache.Find(1);
  for (int allow = 0;; ++allow) {
    ASSERT_LT(allow, 50);
    bool thrown = false;
    StrongRef<std::string> object;
    support::FailAllocationOfThisThread(allow);
    try {
      object = cache.GetOrCreate(1, [](int) { return "short"; });
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    const bool failed = support::StopFailingAllocations();
    if (!failed) {
      ASSERT_FALSE(thrown);
      break;
    }
    EXPECT_EQ(cache.size(), object == nullptr ? 0u : 1u);
    EXPECT_EQ(cache.Stats().loading, 0u);
    object.reset();
    EXPECT_EQ(Peer::TableCount(cache), 0u);
  }
}

// ---- what a loader may do ----

TEST(CacheLoader, MayUseOtherKeysOfItsCache) {
  Cache cache;
  const auto object = cache.GetOrCreate(3, [&](int) {
    const auto two = cache.GetOrCreate(
        2, [&](int) { return *cache.GetOrCreate(1, [](int) { return "1"; }) + "2"; });
    return *two + "3";
  });
  EXPECT_EQ(*object, "123");
  EXPECT_EQ(cache.size(), 1u);
}

TEST(CacheLoader, MayChangeItsCache) {
  Cache cache(CacheOptions{.shards = 1});
  std::vector<StrongRef<std::string>> held;
  const auto object = cache.GetOrCreate(-1, [&](int) {
    for (int i = 0; i < 1000; ++i) held.push_back(cache.Insert(i, std::to_string(i)));
    for (int i = 0; i < 500; ++i) cache.Invalidate(i);
    cache.Drain();
    return "grown";
  });
  EXPECT_EQ(cache.Find(-1), object);
  EXPECT_EQ(cache.size(), 501u);
}

TEST(CacheLoader, MayInvalidateItsOwnKey) {
  Cache cache;
  const auto object = cache.GetOrCreate(1, [&](int key) {
    EXPECT_TRUE(cache.Invalidate(key));
    return "fenced";
  });
  EXPECT_EQ(*object, "fenced");
  EXPECT_EQ(cache.Find(1), nullptr);
  EXPECT_EQ(cache.size(), 0u);
}

TEST(CacheLoader, MayInsertItsOwnKey) {
  Cache cache;
  StrongRef<std::string> inserted;
  const auto object = cache.GetOrCreate(1, [&](int key) {
    inserted = cache.Insert(key, "inserted");
    return "loaded";
  });
  EXPECT_EQ(*object, "loaded") << "its leader gets what it loaded";
  EXPECT_EQ(cache.Find(1), inserted);
}

TEST(CacheLoader, AskingForItsOwnKeyIsAnError) {
  Cache cache;
  absl::Status inner;
  const auto object = cache.GetOrCreate(1, [&](int key) {
    inner = CacheErrorOf([&] { cache.GetOrCreate(key, [](int) { return ""; }); });
    return "outer";
  });
  EXPECT_EQ(inner.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(*object, "outer") << "the error is the inner request's only";
}

TEST(CacheLoader, AskingForItsOwnKeyThroughAnotherIsAnError) {
  Cache a;
  Cache b;
  absl::Status inner;
  const auto object = a.GetOrCreate(1, [&](int key) {
    return *b.GetOrCreate(2, [&](int) {
      inner = a.GetOrCreate(key, [](int) -> absl::StatusOr<std::string> { return ""; }).status();
      return "through b";
    });
  });
  EXPECT_EQ(inner.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(*object, "through b");
}

TEST(CacheLoader, SelfRequestIsFineOnceFenced) {
  Cache cache;
  const auto object = cache.GetOrCreate(1, [&](int key) {
    cache.Invalidate(key);
    return *cache.GetOrCreate(key, [](int) { return "inner"; }) + " in outer";
  });
  EXPECT_EQ(*object, "inner in outer");
}

}  // namespace
}  // namespace weakref
