// The contract table of cache/weak_value_cache.h, a test for each cell: Contract<Operation>, the
// state that the operation meets, and what comes of it.
//
// How a test makes a state:
//   LOADING  a StartGetOrCreate whose completion the test holds
//   stale    InvalidateAll after the object, or the load, was there
//   CLOSED   the object is dead and its entry is still linked: the object is listed by two caches,
//            and the thread that dropped it is stopped on its way, at the other cache's locked
//            shard, before it can unlink it here. In the destructor: unlinked already.

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/await_that.h"
#include "tests/support/cache/probe.h"
#include "tests/support/cache/weak_value_cache_test_peer.h"
#include "tests/support/gate.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using support::AwaitThat;
using support::Gate;
using support::Probe;
using Cache = WeakValueCache<int, Probe>;
using Peer = WeakValueCacheTestPeer;

constexpr int kKey = 7;

auto Loads(int id) {
  return [id](int) { return Probe(id); };
}
auto MustNotLoad() {
  return [](int) {
    ADD_FAILURE() << "the loader ran";
    return Probe(-100);
  };
}

// A load in flight that the test ends, and the result its first request got.
class HeldLoad {
 public:
  explicit HeldLoad(Cache& cache, int key = kKey) {
    cache.StartGetOrCreate(
        key,
        [this](int, LoadContext& context, LoadCompletion<Probe> completion) {
          stop_ = context.stop_token();
          completion_.emplace(std::move(completion));
        },
        [this](absl::StatusOr<StrongRef<Probe>> result) { result_ = std::move(result); });
    EXPECT_TRUE(completion_.has_value()) << "no load began";
  }
  void Succeed(int id) { Take().Complete(Probe(id)); }
  void Fail(absl::Status status) { Take().Complete(std::move(status)); }

  bool ended() const { return result_.has_value(); }
  absl::StatusOr<StrongRef<Probe>>& result() { return *result_; }
  bool stop_requested() const { return stop_.stop_requested(); }

 private:
  LoadCompletion<Probe> Take() {
    LoadCompletion<Probe> completion = *std::move(completion_);
    completion_.reset();
    return completion;
  }
  std::optional<LoadCompletion<Probe>> completion_;
  std::stop_token stop_;
  std::optional<absl::StatusOr<StrongRef<Probe>>> result_;
};

// An object that is dead while its entry in `cache` is still linked.
class ClosedEntry {
 public:
  explicit ClosedEntry(Cache& cache) {
    StrongRef<Probe> object = MakeStrong<Probe>(1);
    WeakRef<Probe> weak(object);
    cache.Insert(kKey, object);
    stopper_.Insert(0, object);  // listed later: hears of the death first
    locks_.emplace(stopper_);
    dropper_ = std::thread([last = std::move(object)]() mutable { last.reset(); });
    AwaitThat([&] { return weak.expired(); });
    EXPECT_EQ(Peer::TableCount(cache), 1u);
  }
  ~ClosedEntry() { LetDie(); }

  // The late death: what it finds here has changed meanwhile.
  void LetDie() {
    locks_.reset();
    if (dropper_.joinable()) dropper_.join();
  }

 private:
  Cache stopper_{CacheOptions{.shards = 1}};
  std::optional<Peer::AllLocks> locks_;
  std::thread dropper_;
};

// ---- Find ----

TEST(ContractFind, AbsentGivesNull) {
  Cache cache;
  EXPECT_EQ(cache.Find(kKey), nullptr);
}

TEST(ContractFind, LoadingGivesNull) {
  Cache cache;
  HeldLoad load(cache);
  EXPECT_EQ(cache.Find(kKey), nullptr);
  load.Succeed(1);
}

TEST(ContractFind, LiveGivesTheObject) {
  Cache cache;
  const StrongRef<Probe> object = cache.Insert(kKey, Probe(1));
  EXPECT_EQ(cache.Find(kKey), object);
  EXPECT_EQ(object->id(), 1);
}

TEST(ContractFind, StaleGivesNull) {
  Cache cache;
  const StrongRef<Probe> object = cache.Insert(kKey, Probe(1));
  cache.InvalidateAll();
  EXPECT_EQ(cache.Find(kKey), nullptr);
}

TEST(ContractFind, ClosedGivesNull) {
  Cache cache;
  ClosedEntry closed(cache);
  EXPECT_EQ(cache.Find(kKey), nullptr);
}

TEST(ContractFind, ClosedGivesNullToTheDestructor) {
  Cache cache;
  bool found = true;
  cache.Insert(kKey, Probe(1, [&] { found = cache.Find(kKey) != nullptr; })).reset();
  EXPECT_FALSE(found);
}

// ---- GetOrCreate, blocking ----

TEST(ContractGetOrCreate, AbsentLoads) {
  Cache cache;
  const StrongRef<Probe> object = cache.GetOrCreate(kKey, Loads(1));
  EXPECT_EQ(object->id(), 1);
  EXPECT_EQ(cache.Find(kKey), object);
  EXPECT_EQ(cache.Stats().loads, 1u);
}

TEST(ContractGetOrCreate, LoadingJoins) {
  Cache cache;
  HeldLoad load(cache);
  StrongRef<Probe> joined;
  std::thread joiner([&] { joined = cache.GetOrCreate(kKey, MustNotLoad()); });
  AwaitThat([&] { return cache.Stats().loads_shared == 1; });
  load.Succeed(1);
  joiner.join();
  ASSERT_TRUE(load.result().ok());
  EXPECT_EQ(joined, *load.result());
}

TEST(ContractGetOrCreate, LiveGivesTheObject) {
  Cache cache;
  const StrongRef<Probe> object = cache.Insert(kKey, Probe(1));
  EXPECT_EQ(cache.GetOrCreate(kKey, MustNotLoad()), object);
}

TEST(ContractGetOrCreate, StaleReplacesAndLoads) {
  Cache cache;
  StrongRef<Probe> old = cache.Insert(kKey, Probe(1));
  cache.InvalidateAll();
  const StrongRef<Probe> fresh = cache.GetOrCreate(kKey, Loads(2));
  EXPECT_EQ(fresh->id(), 2);
  EXPECT_EQ(old->id(), 1) << "its users keep it";
  EXPECT_EQ(Peer::TableCount(cache), 1u) << "it took the slot";
  old.reset();  // the late death
  EXPECT_EQ(cache.Find(kKey), fresh);
  EXPECT_EQ(cache.size(), 1u);
}

TEST(ContractGetOrCreate, StaleLoadIsNotJoined) {
  Cache cache;
  HeldLoad old(cache);
  cache.InvalidateAll();
  const StrongRef<Probe> fresh = cache.GetOrCreate(kKey, Loads(2));
  EXPECT_EQ(fresh->id(), 2);
  old.Succeed(1);
  EXPECT_EQ((*old.result())->id(), 1);
  EXPECT_EQ(cache.Find(kKey), fresh);
}

TEST(ContractGetOrCreate, ClosedReplacesAndLoads) {
  Cache cache;
  ClosedEntry closed(cache);
  const StrongRef<Probe> fresh = cache.GetOrCreate(kKey, Loads(2));
  EXPECT_EQ(fresh->id(), 2);
  EXPECT_EQ(Peer::TableCount(cache), 1u) << "it took the slot";
  closed.LetDie();
  EXPECT_EQ(cache.Find(kKey), fresh) << "the late death unlinked its successor";
  EXPECT_EQ(cache.size(), 1u);
}

TEST(ContractGetOrCreate, ClosedLoadsAnewInTheDestructor) {
  Cache cache;
  StrongRef<Probe> successor;
  cache.Insert(kKey, Probe(1, [&] { successor = cache.GetOrCreate(kKey, Loads(2)); })).reset();
  ASSERT_NE(successor, nullptr);
  EXPECT_EQ(successor->id(), 2);
  EXPECT_EQ(cache.Find(kKey), successor);
}

// ---- GetOrCreate, asynchronous ----

TEST(ContractStartGetOrCreate, AbsentLoads) {
  Cache cache;
  HeldLoad load(cache);
  EXPECT_FALSE(load.ended());
  EXPECT_EQ(cache.Stats().loading, 1u);
  load.Succeed(1);
  ASSERT_TRUE(load.ended());
  EXPECT_EQ(cache.Find(kKey), *load.result());
  EXPECT_EQ(cache.Stats().loading, 0u);
}

template <class C>
std::optional<absl::StatusOr<StrongRef<Probe>>> StartWithoutLoad(C& cache) {
  auto result = std::make_shared<std::optional<absl::StatusOr<StrongRef<Probe>>>>();
  cache.StartGetOrCreate(
      kKey,
      [](int, LoadContext&, LoadCompletion<Probe> completion) {
        ADD_FAILURE() << "a load began";
        completion.Complete(absl::InternalError("unexpected"));
      },
      [result](absl::StatusOr<StrongRef<Probe>> r) { *result = std::move(r); });
  return *result;
}

TEST(ContractStartGetOrCreate, LoadingJoins) {
  Cache cache;
  HeldLoad load(cache);
  std::optional<absl::StatusOr<StrongRef<Probe>>> joined;
  cache.StartGetOrCreate(
      kKey,
      [](int, LoadContext&, LoadCompletion<Probe>) { ADD_FAILURE() << "a second load began"; },
      [&](absl::StatusOr<StrongRef<Probe>> r) { joined = std::move(r); });
  EXPECT_FALSE(joined.has_value());
  load.Succeed(1);
  ASSERT_TRUE(joined.has_value());
  EXPECT_EQ(**joined, *load.result());
}

TEST(ContractStartGetOrCreate, LiveGivesTheObjectAtOnce) {
  Cache cache;
  const StrongRef<Probe> object = cache.Insert(kKey, Probe(1));
  const auto result = StartWithoutLoad(cache);
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(**result, object);
}

TEST(ContractStartGetOrCreate, StaleReplacesAndLoads) {
  Cache cache;
  const StrongRef<Probe> old = cache.Insert(kKey, Probe(1));
  cache.InvalidateAll();
  HeldLoad load(cache);
  load.Succeed(2);
  EXPECT_EQ((*load.result())->id(), 2);
  EXPECT_EQ(cache.Find(kKey), *load.result());
}

TEST(ContractStartGetOrCreate, ClosedReplacesAndLoads) {
  Cache cache;
  ClosedEntry closed(cache);
  HeldLoad load(cache);
  closed.LetDie();  // while the successor is loading
  EXPECT_EQ(Peer::TableCount(cache), 1u);
  load.Succeed(2);
  EXPECT_EQ(cache.Find(kKey), *load.result());
}

// ---- Insert ----

TEST(ContractInsert, AbsentInserts) {
  Cache cache;
  const StrongRef<Probe> object = cache.Insert(kKey, Probe(1));
  EXPECT_EQ(cache.Find(kKey), object);
  EXPECT_EQ(cache.Stats().superseded, 0u);
}

TEST(ContractInsert, LoadingIsReplacedAndFenced) {
  Cache cache;
  HeldLoad load(cache);
  const StrongRef<Probe> inserted = cache.Insert(kKey, Probe(2));
  EXPECT_EQ(cache.Find(kKey), inserted);
  load.Succeed(1);
  ASSERT_TRUE(load.result().ok()) << "those who joined get the result";
  EXPECT_EQ((*load.result())->id(), 1);
  EXPECT_EQ(cache.Find(kKey), inserted) << "and it is not published";
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_EQ(cache.Stats().superseded, 1u);
}

TEST(ContractInsert, LiveIsSuperseded) {
  Cache cache;
  StrongRef<Probe> old = cache.Insert(kKey, Probe(1));
  const StrongRef<Probe> inserted = cache.Insert(kKey, Probe(2));
  EXPECT_EQ(cache.Find(kKey), inserted);
  EXPECT_EQ(old->id(), 1) << "its users keep it";
  EXPECT_EQ(cache.Stats().superseded, 1u);
  EXPECT_EQ(cache.size(), 1u);
  old.reset();
  EXPECT_EQ(cache.Find(kKey), inserted) << "the late death unlinked its successor";
  EXPECT_EQ(cache.size(), 1u);
}

TEST(ContractInsert, StaleIsReplaced) {
  Cache cache;
  StrongRef<Probe> old = cache.Insert(kKey, Probe(1));
  cache.InvalidateAll();
  const StrongRef<Probe> inserted = cache.Insert(kKey, Probe(2));
  EXPECT_EQ(cache.Find(kKey), inserted);
  EXPECT_EQ(Peer::TableCount(cache), 1u);
  EXPECT_EQ(cache.Stats().superseded, 0u) << "it was not current any more";
  old.reset();
  EXPECT_EQ(cache.Find(kKey), inserted);
}

TEST(ContractInsert, ClosedIsReplaced) {
  Cache cache;
  ClosedEntry closed(cache);
  const StrongRef<Probe> inserted = cache.Insert(kKey, Probe(2));
  EXPECT_EQ(Peer::TableCount(cache), 1u);
  EXPECT_EQ(cache.Stats().superseded, 0u) << "it was dead";
  closed.LetDie();
  EXPECT_EQ(cache.Find(kKey), inserted);
  EXPECT_EQ(cache.size(), 1u);
}

TEST(ContractInsert, ClosedIsReplacedByTheDestructor) {
  Cache cache;
  StrongRef<Probe> successor;
  cache.Insert(kKey, Probe(1, [&] { successor = cache.Insert(kKey, Probe(2)); })).reset();
  ASSERT_NE(successor, nullptr);
  EXPECT_EQ(cache.Find(kKey), successor);
}

// ---- Invalidate ----

TEST(ContractInvalidate, AbsentGivesFalse) {
  Cache cache;
  EXPECT_FALSE(cache.Invalidate(kKey));
}

TEST(ContractInvalidate, LoadingIsFenced) {
  Cache cache;
  HeldLoad load(cache);
  EXPECT_TRUE(cache.Invalidate(kKey));
  EXPECT_EQ(Peer::TableCount(cache), 0u);
  load.Succeed(1);
  ASSERT_TRUE(load.result().ok()) << "those who joined get the result";
  EXPECT_EQ((*load.result())->id(), 1);
  EXPECT_EQ(cache.Find(kKey), nullptr) << "nobody else does";
  EXPECT_EQ(cache.size(), 0u);
}

TEST(ContractInvalidate, LiveIsUnlinked) {
  Cache cache;
  const StrongRef<Probe> object = cache.Insert(kKey, Probe(1));
  EXPECT_TRUE(cache.Invalidate(kKey));
  EXPECT_EQ(cache.Find(kKey), nullptr);
  EXPECT_EQ(object->id(), 1) << "its users keep it";
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(cache.Stats().invalidated, 1u);
  EXPECT_FALSE(cache.Invalidate(kKey));
}

TEST(ContractInvalidate, StaleGivesFalse) {
  Cache cache;
  const StrongRef<Probe> object = cache.Insert(kKey, Probe(1));
  cache.InvalidateAll();
  EXPECT_FALSE(cache.Invalidate(kKey));
  EXPECT_EQ(cache.Stats().invalidated, 0u);
}

TEST(ContractInvalidate, StaleLoadGivesFalse) {
  Cache cache;
  HeldLoad load(cache);
  cache.InvalidateAll();
  EXPECT_FALSE(cache.Invalidate(kKey));
  load.Succeed(1);
  EXPECT_TRUE(load.result().ok());
  EXPECT_EQ(cache.Find(kKey), nullptr);
}

TEST(ContractInvalidate, ClosedGivesFalse) {
  Cache cache;
  ClosedEntry closed(cache);
  EXPECT_FALSE(cache.Invalidate(kKey));
  EXPECT_EQ(cache.Stats().invalidated, 0u);
  closed.LetDie();
  EXPECT_EQ(Peer::TableCount(cache), 0u);
}

TEST(ContractInvalidate, ClosedGivesFalseToTheDestructor) {
  Cache cache;
  bool invalidated = true;
  cache.Insert(kKey, Probe(1, [&] { invalidated = cache.Invalidate(kKey); })).reset();
  EXPECT_FALSE(invalidated);
}

// ---- the load ends ----

TEST(ContractLoadEnds, LoadingBecomesLive) {
  Cache cache;
  HeldLoad load(cache);
  EXPECT_EQ(cache.size(), 0u);
  load.Succeed(1);
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_EQ(cache.Find(kKey), *load.result());
}

TEST(ContractLoadEnds, FencedByInvalidateGoesToThoseWhoJoinedOnly) {
  Cache cache;
  HeldLoad load(cache);
  StrongRef<Probe> joined;
  std::thread joiner([&] { joined = cache.GetOrCreate(kKey, MustNotLoad()); });
  AwaitThat([&] { return cache.Stats().loads_shared == 1; });
  cache.Invalidate(kKey);
  const StrongRef<Probe> later = cache.GetOrCreate(kKey, Loads(2));
  load.Succeed(1);
  joiner.join();
  EXPECT_EQ(joined, *load.result());
  EXPECT_EQ(joined->id(), 1);
  EXPECT_EQ(cache.Find(kKey), later);
}

TEST(ContractLoadEnds, FencedByInvalidateAllGoesToThoseWhoJoinedOnly) {
  Cache cache;
  HeldLoad load(cache);
  cache.InvalidateAll();
  load.Succeed(1);
  EXPECT_EQ((*load.result())->id(), 1);
  EXPECT_EQ(cache.Find(kKey), nullptr);
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(cache.GetOrCreate(kKey, Loads(2))->id(), 2);
}

TEST(ContractLoadEnds, AfterTheCacheTheObjectGoesToItsLeader) {
  auto cache = std::make_unique<Cache>();
  const StrongRef<Probe> object = cache->GetOrCreate(kKey, [&](int) {
    cache.reset();
    return Probe(1);
  });
  ASSERT_NE(object, nullptr);
  EXPECT_EQ(object->id(), 1);
}

// ---- the load fails ----

TEST(ContractLoadFails, LoadingBecomesAbsentAndAllWhoJoinedHearOfIt) {
  Cache cache;
  HeldLoad load(cache);
  absl::Status heard;
  std::thread joiner([&] {
    heard =
        cache.GetOrCreate(kKey, [](int) -> absl::StatusOr<Probe> { return Probe(-100); }).status();
  });
  AwaitThat([&] { return cache.Stats().loads_shared == 1; });
  load.Fail(absl::DataLossError("torn"));
  joiner.join();
  EXPECT_EQ(load.result().status(), absl::DataLossError("torn"));
  EXPECT_EQ(heard, absl::DataLossError("torn"));
  EXPECT_EQ(Peer::TableCount(cache), 0u);
  EXPECT_EQ(cache.GetOrCreate(kKey, Loads(2))->id(), 2) << "the next call tries again";
}

TEST(ContractLoadFails, FencedKeepsItsSuccessor) {
  Cache cache;
  HeldLoad load(cache);
  const StrongRef<Probe> inserted = cache.Insert(kKey, Probe(2));
  load.Fail(absl::DataLossError("torn"));
  EXPECT_EQ(load.result().status(), absl::DataLossError("torn"));
  EXPECT_EQ(cache.Find(kKey), inserted);
  EXPECT_EQ(cache.size(), 1u);
}

TEST(ContractLoadFails, AfterTheCacheTheFailureGoesToItsLeader) {
  auto cache = std::make_unique<Cache>();
  EXPECT_THROW(cache->GetOrCreate(kKey,
                                  [&](int) -> Probe {
                                    cache.reset();
                                    throw std::runtime_error("torn");
                                  }),
               std::runtime_error);
}

// ---- the last release ----

TEST(ContractLastRelease, LiveBecomesAbsent) {
  Cache cache;
  StrongRef<Probe> object = cache.Insert(kKey, Probe(1));
  EXPECT_EQ(Peer::TableCount(cache), 1u);
  object.reset();
  EXPECT_EQ(Probe::Live(), 0);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
  EXPECT_EQ(cache.Stats().deaths, 1u);
}

TEST(ContractLastRelease, LiveIsUnlinkedBeforeItsDestructor) {
  Cache cache;
  size_t entries = 99;
  cache.Insert(kKey, Probe(1, [&] { entries = Peer::TableCount(cache); })).reset();
  EXPECT_EQ(entries, 0u);
}

TEST(ContractLastRelease, StaleBecomesAbsent) {
  Cache cache;
  StrongRef<Probe> object = cache.Insert(kKey, Probe(1));
  cache.InvalidateAll();
  EXPECT_EQ(Peer::TableCount(cache), 1u);
  object.reset();
  EXPECT_EQ(Probe::Live(), 0);
  EXPECT_EQ(Peer::TableCount(cache), 0u);
  EXPECT_EQ(cache.size(), 0u);
}

TEST(ContractLastRelease, AfterTheCacheItDies) {
  auto cache = std::make_unique<Cache>();
  StrongRef<Probe> object = cache->Insert(kKey, Probe(1));
  cache.reset();
  EXPECT_EQ(Probe::Live(), 1);
  object.reset();
  EXPECT_EQ(Probe::Live(), 0);
}

// ---- the cache's end ----

TEST(ContractCacheEnds, BlockedWaitersAreCancelledAndTheLoadGoesOn) {
  auto owner = std::make_unique<Cache>();
  Cache* const cache = owner.get();
  Gate loading, go_on;
  StrongRef<Probe> led;
  std::thread leader([&] {
    led = cache->GetOrCreate(kKey, [&](int) {
      loading.Open();
      go_on.Wait();
      return Probe(1);
    });
  });
  loading.Wait();
  absl::StatusCode heard = absl::StatusCode::kOk;
  std::thread joiner([&] {
    try {
      cache->GetOrCreate(kKey, MustNotLoad());
    } catch (const CacheError& error) {
      heard = error.code();
    }
  });
  AwaitThat([&] { return cache->Stats().loads_shared == 1; });
  owner.reset();
  joiner.join();  // at once: the load still hangs
  EXPECT_EQ(heard, absl::StatusCode::kCancelled);
  go_on.Open();
  leader.join();
  ASSERT_NE(led, nullptr);
  EXPECT_EQ(led->id(), 1);
}

TEST(ContractCacheEnds, AsynchronousWaitersAreCancelledAndTheLoadIsToldToStop) {
  auto cache = std::make_unique<Cache>();
  HeldLoad load(*cache);
  cache.reset();
  ASSERT_TRUE(load.ended());
  EXPECT_EQ(load.result().status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(load.stop_requested());
  load.Succeed(1);  // for nobody
  EXPECT_EQ(Probe::Live(), 0);
}

TEST(ContractCacheEnds, ObjectsLiveOn) {
  auto cache = std::make_unique<Cache>();
  const StrongRef<Probe> object = cache->Insert(kKey, Probe(1));
  const WeakRef<Probe> weak(object);
  cache.reset();
  EXPECT_EQ(object->id(), 1);
  EXPECT_EQ(weak.lock(), object);
}

}  // namespace
}  // namespace weakref
