#include "weakref/expiry_callback.h"

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/gate.h"
#include "tests/support/heap_count.h"
#include "tests/support/instance_counter.h"
#include "tests/support/manual_executor.h"
#include "tests/support/stress_scale.h"
#include "tests/support/test_seed.h"
#include "weakref/enable_strong_from_this.h"
#include "weakref/internal/callback_node.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using support::Counted;
using support::FailingHeap;
using support::Gate;
using support::InstanceCounts;
using support::LiveHeapBlocks;
using support::ManualExecutor;

static_assert(std::is_nothrow_move_constructible_v<ExpiryCallback>);
static_assert(!std::is_copy_constructible_v<ExpiryCallback>);
static_assert(std::is_default_constructible_v<ExpiryCallback>);

const auto kIgnore = [](const WeakRef<int>&) {};

// ---- when it runs, and what it sees ----

TEST(ExpiryCallback, RunsAfterTheDestructorInTheReleasingThread) {
  InstanceCounts counts;
  StrongRef<Counted> object = MakeStrong<Counted>(&counts);
  int calls = 0;
  ExpiryCallback callback(object, [&](const WeakRef<Counted>&) {
    ++calls;
    EXPECT_EQ(counts.destroyed(), 1);
  });
  EXPECT_TRUE(callback.registered());
  object.reset();
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(callback.registered());
}

TEST(ExpiryCallback, RunsNewestFirst) {
  StrongRef<int> object = MakeStrong<int>(1);
  std::vector<int> order;
  std::vector<ExpiryCallback> callbacks;
  for (int i = 0; i < 5; ++i) {
    callbacks.emplace_back(object, [&order, i](const WeakRef<int>&) { order.push_back(i); });
  }
  object.reset();
  EXPECT_EQ(order, (std::vector<int>{4, 3, 2, 1, 0}));
}

TEST(ExpiryCallback, SeesEveryReferenceDead) {
  StrongRef<int> object = MakeStrong<int>(1);
  const WeakRef<int> weak = object;
  int calls = 0;
  const ExpiryCallback callback(object, [&](const WeakRef<int>& dead) {
    ++calls;
    EXPECT_TRUE(dead.expired());
    EXPECT_EQ(dead.lock(), nullptr);
    EXPECT_TRUE(weak.expired());
    EXPECT_TRUE(dead.owner_equal(weak));
    EXPECT_EQ(object, nullptr);
  });
  object.reset();
  EXPECT_EQ(calls, 1);
}

TEST(ExpiryCallback, RunsOnceForManyOwners) {
  StrongRef<int> object = MakeStrong<int>(1);
  int calls = 0;
  const ExpiryCallback callback(object, [&](const WeakRef<int>&) { ++calls; });
  std::vector<StrongRef<int>> owners(10, object);
  const WeakRef<int> weak = object;
  object.reset();
  owners.resize(1);
  (void)weak.lock();
  EXPECT_EQ(calls, 0);
  owners.clear();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(weak.lock(), nullptr);
  EXPECT_EQ(calls, 1);
}

TEST(ExpiryCallback, DoesNotKeepTheObjectAlive) {
  InstanceCounts counts;
  StrongRef<Counted> object = MakeStrong<Counted>(&counts);
  const ExpiryCallback callback(object, [](const WeakRef<Counted>&) {});
  EXPECT_EQ(object.use_count(), 1);
  EXPECT_EQ(GetWeakRefCount(object), 1);
  object.reset();
  EXPECT_EQ(counts.live(), 0);
}

TEST(ExpiryCallback, OfAnObjectThatWasNeverWeakRuns) {
  // The registration itself sets HAS_WEAK, or the close of a lone owner would not look at the list.
  int calls = 0;
  {
    const StrongRef<int> object = MakeStrong<int>(1);
    ExpiryCallback callback(object, [&](const WeakRef<int>&) { ++calls; });
    callback.Detach();
  }
  EXPECT_EQ(calls, 1);
}

TEST(ExpiryCallback, GetsTheAliasItWasRegisteredWith) {
  StrongRef<std::pair<int, int>> whole = MakeStrong<std::pair<int, int>>(1, 2);
  const WeakRef<int> part = StrongRef<int>(whole, &whole->second);
  int calls = 0;
  const ExpiryCallback callback(StrongRef<int>(whole, &whole->second),
                                [&](const WeakRef<int>& dead) {
                                  EXPECT_EQ(dead, part);
                                  ++calls;
                                });
  whole.reset();
  EXPECT_EQ(calls, 1);
}

TEST(ExpiryCallback, NullExecutorIsInline) {
  StrongRef<int> object = MakeStrong<int>(1);
  std::thread::id ran;
  const ExpiryCallback callback(
      object, [&](const WeakRef<int>&) { ran = std::this_thread::get_id(); }, nullptr);
  object.reset();
  EXPECT_EQ(ran, std::this_thread::get_id());
}

TEST(ExpiryCallback, DeletersObjectIsGoneWhenItRuns) {
  bool deleted = false;
  int calls = 0;
  int value = 1;
  StrongRef<int> object(&value, [&](const int*) { deleted = true; });
  const ExpiryCallback callback(object, [&](const WeakRef<int>&) {
    ++calls;
    EXPECT_TRUE(deleted);
  });
  object.reset();
  EXPECT_EQ(calls, 1);
}

// ---- the callable's life ----

TEST(ExpiryCallback, CallableGoesAsSoonAsItHasRun) {
  InstanceCounts callables;
  StrongRef<int> object = MakeStrong<int>(1);
  const ExpiryCallback callback(object, [counted = Counted(&callables)](const WeakRef<int>&) {});
  EXPECT_EQ(callables.live(), 1);
  object.reset();
  EXPECT_EQ(callables.live(), 0);
}

TEST(ExpiryCallback, CallableGoesAsSoonAsItIsCancelled) {
  InstanceCounts callables;
  const StrongRef<int> object = MakeStrong<int>(1);
  ExpiryCallback callback(object, [counted = Counted(&callables)](const WeakRef<int>&) {});
  EXPECT_TRUE(callback.Unregister());
  EXPECT_EQ(callables.live(), 0);
}

TEST(ExpiryCallback, CallableMayOwnAnotherObjectsLastReference) {
  InstanceCounts counts;
  StrongRef<int> first = MakeStrong<int>(1);
  StrongRef<Counted> second = MakeStrong<Counted>(&counts);
  int calls = 0;
  const ExpiryCallback of_second(second, [&](const WeakRef<Counted>&) { ++calls; });
  const ExpiryCallback of_first(
      first, [owned = std::move(second), &calls](const WeakRef<int>&) { calls += 10; });
  first.reset();
  EXPECT_EQ(calls, 11);
  EXPECT_EQ(counts.live(), 0);
}

TEST(ExpiryCallback, CallableMayBeMoveOnly) {
  StrongRef<int> object = MakeStrong<int>(1);
  int seen = 0;
  const ExpiryCallback callback(
      object, [&seen, number = std::make_unique<int>(5)](const WeakRef<int>&) { seen = *number; });
  object.reset();
  EXPECT_EQ(seen, 5);
}

// ---- cancelling ----

TEST(ExpiryCallback, DestroyingTheRegistrationCancels) {
  StrongRef<int> object = MakeStrong<int>(1);
  int calls = 0;
  {
    const ExpiryCallback callback(object, [&](const WeakRef<int>&) { ++calls; });
  }
  object.reset();
  EXPECT_EQ(calls, 0);
}

TEST(ExpiryCallback, UnregisterSaysWhetherItCancelled) {
  StrongRef<int> object = MakeStrong<int>(1);
  ExpiryCallback cancelled(object, kIgnore);
  ExpiryCallback ran(object, kIgnore);
  ExpiryCallback empty;
  EXPECT_TRUE(cancelled.Unregister());
  EXPECT_FALSE(cancelled.registered());
  EXPECT_FALSE(cancelled.Unregister());
  object.reset();
  EXPECT_FALSE(ran.Unregister());
  EXPECT_FALSE(empty.Unregister());
  EXPECT_FALSE(empty.registered());
}

TEST(ExpiryCallback, TryUnregisterSaysWhetherItCancelled) {
  StrongRef<int> object = MakeStrong<int>(1);
  int calls = 0;
  ExpiryCallback cancelled(object, [&](const WeakRef<int>&) { ++calls; });
  ExpiryCallback ran(object, kIgnore);
  ExpiryCallback empty;
  EXPECT_TRUE(cancelled.TryUnregister());
  EXPECT_FALSE(cancelled.TryUnregister());
  object.reset();
  EXPECT_FALSE(ran.TryUnregister());
  EXPECT_FALSE(empty.TryUnregister());
  EXPECT_EQ(calls, 0);
}

// The callable owns what its registration is a member of: cancelling destroys the registration
// while it cancels.
struct OwnedByItsCallable {
  explicit OwnedByItsCallable(InstanceCounts* counts) : counted(counts) {}
  Counted counted;
  ExpiryCallback callback;
};
OwnedByItsCallable* MakeOwnedByItsCallable(InstanceCounts* counts, const StrongRef<int>& object) {
  const auto owned = std::make_shared<OwnedByItsCallable>(counts);
  owned->callback = ExpiryCallback(object, [owned](const WeakRef<int>&) {});
  return owned.get();
}

TEST(ExpiryCallback, CancellingMayDestroyTheRegistration) {
  InstanceCounts counts;
  const StrongRef<int> object = MakeStrong<int>(1);
  EXPECT_TRUE(MakeOwnedByItsCallable(&counts, object)->callback.Unregister());
  EXPECT_EQ(counts.live(), 0);
  EXPECT_TRUE(MakeOwnedByItsCallable(&counts, object)->callback.TryUnregister());
  EXPECT_EQ(counts.live(), 0);
  MakeOwnedByItsCallable(&counts, object)->callback = ExpiryCallback();
  EXPECT_EQ(counts.live(), 0);
}

TEST(ExpiryCallback, RunningMayDestroyTheRegistration) {
  InstanceCounts counts;
  StrongRef<int> object = MakeStrong<int>(1);
  MakeOwnedByItsCallable(&counts, object);
  EXPECT_EQ(counts.live(), 1);
  object.reset();
  EXPECT_EQ(counts.live(), 0);
}

TEST(ExpiryCallback, CancelledOnesAreLeftOutOfTheOrder) {
  StrongRef<int> object = MakeStrong<int>(1);
  std::vector<int> order;
  std::vector<ExpiryCallback> callbacks;
  for (int i = 0; i < 6; ++i) {
    callbacks.emplace_back(object, [&order, i](const WeakRef<int>&) { order.push_back(i); });
  }
  callbacks[5].Unregister();  // newest
  callbacks[2].Unregister();
  callbacks[0].Unregister();  // oldest
  object.reset();
  EXPECT_EQ(order, (std::vector<int>{4, 3, 1}));
}

TEST(ExpiryCallback, DetachedRunsWithoutItsRegistration) {
  StrongRef<int> object = MakeStrong<int>(1);
  int calls = 0;
  {
    ExpiryCallback callback(object, [&](const WeakRef<int>&) { ++calls; });
    callback.Detach();
    EXPECT_FALSE(callback.registered());
    EXPECT_FALSE(callback.Unregister());
    callback.Detach();
  }
  object.reset();
  EXPECT_EQ(calls, 1);
}

TEST(ExpiryCallback, MoveTakesTheRegistrationAlong) {
  StrongRef<int> object = MakeStrong<int>(1);
  int calls = 0;
  std::optional<ExpiryCallback> first(std::in_place, object, [&](const WeakRef<int>&) { ++calls; });
  ExpiryCallback second(std::move(*first));
  EXPECT_FALSE(first->registered());
  first.reset();
  EXPECT_TRUE(second.registered());
  ExpiryCallback& same = second;
  second = std::move(same);
  EXPECT_TRUE(second.registered());
  object.reset();
  EXPECT_EQ(calls, 1);
}

TEST(ExpiryCallback, MoveAssignmentCancelsTheFormer) {
  StrongRef<int> object = MakeStrong<int>(1);
  std::string ran;
  ExpiryCallback callback(object, [&](const WeakRef<int>&) { ran += 'a'; });
  callback = ExpiryCallback(object, [&](const WeakRef<int>&) { ran += 'b'; });
  object.reset();
  EXPECT_EQ(ran, "b");
}

TEST(ExpiryCallback, MayUnregisterItselfWhileItRuns) {
  StrongRef<int> object = MakeStrong<int>(1);
  int calls = 0;
  ExpiryCallback callback;
  callback = ExpiryCallback(object, [&](const WeakRef<int>&) {
    ++calls;
    EXPECT_FALSE(callback.registered());
    EXPECT_FALSE(callback.TryUnregister());
    EXPECT_FALSE(callback.Unregister());
  });
  object.reset();
  EXPECT_EQ(calls, 1);
}

TEST(ExpiryCallback, MayDestroyItsRegistrationWhileItRuns) {
  InstanceCounts callables;
  StrongRef<int> object = MakeStrong<int>(1);
  std::optional<ExpiryCallback> callback;
  bool captured_was_alive = false;
  callback.emplace(object, [&, counted = Counted(&callables)](const WeakRef<int>& dead) {
    callback.reset();
    captured_was_alive = counted.alive() && dead.expired();
  });
  object.reset();
  EXPECT_TRUE(captured_was_alive);
  EXPECT_EQ(callables.live(), 0);
}

TEST(ExpiryCallback, MayUnregisterTheOthersOfItsObject) {
  StrongRef<int> object = MakeStrong<int>(1);
  std::string ran;
  ExpiryCallback oldest(object, [&](const WeakRef<int>&) { ran += 'o'; });
  ExpiryCallback newest;
  ExpiryCallback middle(object, [&](const WeakRef<int>&) {
    ran += 'm';
    EXPECT_TRUE(oldest.Unregister());   // would be next
    EXPECT_FALSE(newest.Unregister());  // has run
  });
  newest = ExpiryCallback(object, [&](const WeakRef<int>&) { ran += 'n'; });
  object.reset();
  EXPECT_EQ(ran, "nm");
}

TEST(ExpiryCallback, DestructorMayUnregisterItsOwnObjectsCallback) {
  struct Object {
    explicit Object(std::optional<ExpiryCallback>* to) : callback(to) {}
    ~Object() { EXPECT_TRUE((*callback)->Unregister()); }
    std::optional<ExpiryCallback>* callback;
  };
  std::optional<ExpiryCallback> callback;
  int calls = 0;
  StrongRef<Object> object = MakeStrong<Object>(&callback);
  callback.emplace(object, [&](const WeakRef<Object>&) { ++calls; });
  object.reset();
  EXPECT_EQ(calls, 0);
}

TEST(ExpiryCallback, MemberOfItsOwnObjectNeverRuns) {
  struct Object {
    ExpiryCallback callback;
  };
  int calls = 0;
  StrongRef<Object> object = MakeStrong<Object>();
  object->callback = ExpiryCallback(object, [&](const WeakRef<Object>&) { ++calls; });
  object.reset();
  EXPECT_EQ(calls, 0);
}

// ---- dead and dying objects ----

TEST(ExpiryCallback, OnADeadObjectSaysSoAndDoesNotRun) {
  InstanceCounts callables;
  StrongRef<int> object = MakeStrong<int>(1);
  const WeakRef<int> weak = object;
  object.reset();
  int calls = 0;
  ExpiryCallback callback(weak,
                          [&, counted = Counted(&callables)](const WeakRef<int>&) { ++calls; });
  EXPECT_FALSE(callback.registered());
  EXPECT_FALSE(callback.Unregister());
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(callables.live(), 0);
}

TEST(ExpiryCallback, OnAnEmptyReferenceRegistersNothing) {
  const ExpiryCallback strong(StrongRef<int>(), kIgnore);
  const ExpiryCallback weak(WeakRef<int>(), kIgnore);
  EXPECT_FALSE(strong.registered());
  EXPECT_FALSE(weak.registered());
}

TEST(ExpiryCallback, OnALivingWeakReferenceRegisters) {
  StrongRef<int> object = MakeStrong<int>(1);
  const WeakRef<int> weak = object;
  int calls = 0;
  const ExpiryCallback callback(weak, [&](const WeakRef<int>&) { ++calls; });
  EXPECT_TRUE(callback.registered());
  EXPECT_EQ(object.use_count(), 1);
  object.reset();
  EXPECT_EQ(calls, 1);
}

struct RegistersInItsDestructor : EnableStrongFromThis<RegistersInItsDestructor> {
  RegistersInItsDestructor(ExpiryCallback* to, int* count) : callback(to), calls(count) {}
  ~RegistersInItsDestructor() {
    *callback = ExpiryCallback(weak_from_this(),
                               [c = calls](const WeakRef<RegistersInItsDestructor>&) { ++*c; });
    EXPECT_FALSE(callback->registered());
  }
  ExpiryCallback* callback;
  int* calls;
};

TEST(ExpiryCallback, InTheObjectsDestructorSaysSoAndDoesNotRun) {
  ExpiryCallback callback;
  int calls = 0;
  StrongRef<RegistersInItsDestructor> object =
      MakeStrong<RegistersInItsDestructor>(&callback, &calls);
  object.reset();  // never weak
  object = MakeStrong<RegistersInItsDestructor>(&callback, &calls);
  WeakRef<RegistersInItsDestructor> weak = object;
  object.reset();
  object = MakeStrong<RegistersInItsDestructor>(&callback, &calls);
  ExpiryCallback other(object, [](const WeakRef<RegistersInItsDestructor>&) {});
  object.reset();
  EXPECT_EQ(calls, 0);
  EXPECT_FALSE(callback.registered());
}

TEST(ExpiryCallback, InsideACallbackOfTheSameObjectSaysSo) {
  StrongRef<int> object = MakeStrong<int>(1);
  int calls = 0;
  const ExpiryCallback callback(object, [&](const WeakRef<int>& dead) {
    const ExpiryCallback late(dead, [&](const WeakRef<int>&) { calls += 100; });
    EXPECT_FALSE(late.registered());
    ++calls;
  });
  object.reset();
  EXPECT_EQ(calls, 1);
}

TEST(ExpiryCallback, MayRegisterWithAnotherObject) {
  StrongRef<int> first = MakeStrong<int>(1);
  StrongRef<int> second = MakeStrong<int>(2);
  int calls = 0;
  ExpiryCallback of_second;
  const ExpiryCallback of_first(first, [&](const WeakRef<int>&) {
    of_second = ExpiryCallback(second, [&](const WeakRef<int>&) { ++calls; });
    second.reset();
  });
  first.reset();
  EXPECT_EQ(calls, 1);
}

TEST(ExpiryCallback, NoMemoryRegistersNothing) {
  StrongRef<int> object = MakeStrong<int>(1);
  int calls = 0;
  bool thrown = false;
  const int64_t before = LiveHeapBlocks();
  {
    const FailingHeap failing;
    try {
      const ExpiryCallback callback(object, [&](const WeakRef<int>&) { ++calls; });
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
  }
  EXPECT_TRUE(thrown);
  EXPECT_EQ(LiveHeapBlocks(), before);
  EXPECT_EQ(GetWeakRefCount(object), 0);
  object.reset();
  EXPECT_EQ(calls, 0);
}

TEST(ExpiryCallback, DeathNeedsNoMemory) {
  InstanceCounts counts;
  int calls = 0;
  const auto executor = std::make_shared<ManualExecutor>(ManualExecutor::OnWake::kDrop);
  StrongRef<Counted> object = MakeStrong<Counted>(&counts);
  const ExpiryCallback inline_one(object, [&](const WeakRef<Counted>&) { ++calls; });
  const ExpiryCallback queued_one(
      object, [&](const WeakRef<Counted>&) { ++calls; }, executor);
  {
    const FailingHeap failing;
    object.reset();
  }
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(executor->Drain(), 1);
  EXPECT_EQ(calls, 2);
}

// ---- exceptions ----

std::vector<std::string>* reported = nullptr;
void Record(std::exception_ptr exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    reported->push_back(e.what());
  } catch (...) {
    reported->push_back("unknown");
  }
}

class ExpiryCallbackExceptions : public testing::Test {
 protected:
  void SetUp() override {
    reported = &messages;
    former = SetExpiryExceptionHandler(&Record);
  }
  void TearDown() override { EXPECT_EQ(SetExpiryExceptionHandler(former), &Record); }
  std::vector<std::string> messages;
  ExpiryExceptionHandler former = nullptr;
};

TEST_F(ExpiryCallbackExceptions, AreReportedAndTheOthersRun) {
  const uint64_t before = ExpiryExceptionCount();
  StrongRef<int> object = MakeStrong<int>(1);
  std::string ran;
  const ExpiryCallback a(object, [&](const WeakRef<int>&) { ran += 'a'; });
  const ExpiryCallback b(object, [&](const WeakRef<int>&) { throw std::runtime_error("b"); });
  const ExpiryCallback c(object, [&](const WeakRef<int>&) { ran += 'c'; });
  const ExpiryCallback d(object, [&](const WeakRef<int>&) { throw 4; });
  object.reset();
  EXPECT_EQ(ran, "ca");
  EXPECT_EQ(messages, (std::vector<std::string>{"unknown", "b"}));
  EXPECT_EQ(ExpiryExceptionCount(), before + 2);
}

TEST_F(ExpiryCallbackExceptions, LeaveTheCallableDestroyedOnce) {
  InstanceCounts callables;
  StrongRef<int> object = MakeStrong<int>(1);
  ExpiryCallback callback(object, [counted = Counted(&callables)](const WeakRef<int>&) {
    throw std::runtime_error("thrown");
  });
  object.reset();
  EXPECT_EQ(callables.live(), 0);
  EXPECT_FALSE(callback.Unregister());
}

TEST_F(ExpiryCallbackExceptions, NeverDisableTheExecutor) {
  const auto executor = std::make_shared<ManualExecutor>();
  std::string ran;
  for (int round = 0; round < 3; ++round) {
    StrongRef<int> object = MakeStrong<int>(1);
    ExpiryCallback good(
        object, [&](const WeakRef<int>&) { ran += 'g'; }, executor);
    ExpiryCallback bad(
        object, [&](const WeakRef<int>&) { throw std::runtime_error("bad"); }, executor);
    object.reset();
    executor->RunTickets();
  }
  EXPECT_EQ(ran, "ggg");
  EXPECT_EQ(messages.size(), 3);
  EXPECT_EQ(executor->LostWakes(), 0);
}

TEST(Hazard, ThrowingCallbackIsReportedAndDisablesNobody) {
  // Row 15 (moka: a listener that panics is never called again).
  std::vector<std::string> messages;
  reported = &messages;
  const ExpiryExceptionHandler former = SetExpiryExceptionHandler(&Record);
  int calls = 0;
  const std::function<void(const WeakRef<int>&)> throwing = [&](const WeakRef<int>&) {
    ++calls;
    throw std::runtime_error("listener");
  };
  for (int i = 0; i < 3; ++i) {
    StrongRef<int> object = MakeStrong<int>(i);
    const ExpiryCallback callback(object, throwing);
    object.reset();
  }
  SetExpiryExceptionHandler(former);
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(messages, std::vector<std::string>(3, "listener"));
}

TEST(ExpiryCallback, DefaultHandlerWritesToStandardError) {
  testing::internal::CaptureStderr();
  StrongRef<int> object = MakeStrong<int>(1);
  const ExpiryCallback a(object, [](const WeakRef<int>&) { throw std::runtime_error("reason"); });
  const ExpiryCallback b(object, [](const WeakRef<int>&) { throw 1; });
  object.reset();
  const std::string written = testing::internal::GetCapturedStderr();
  EXPECT_NE(written.find("threw: reason"), std::string::npos) << written;
  EXPECT_NE(written.find("threw\n"), std::string::npos) << written;
}

TEST(ExpiryCallback, NullHandlerRestoresTheDefault) {
  const ExpiryExceptionHandler standard = SetExpiryExceptionHandler(&Record);
  EXPECT_EQ(SetExpiryExceptionHandler(nullptr), &Record);
  EXPECT_EQ(SetExpiryExceptionHandler(nullptr), standard);
}

// What a thread did before it installed the handler is visible in the handler: a plain variable,
// which ThreadSanitizer watches.
int set_up = 0;
int handler_saw = 0;
void ReadSetUp(std::exception_ptr /*exception*/) { handler_saw = set_up; }
void Nothing(std::exception_ptr /*exception*/) {}

TEST(ExpiryCallback, HandlerSeesItsSetUp) {
  const ExpiryExceptionHandler former = SetExpiryExceptionHandler(&Nothing);
  std::thread thrower([&] {
    while (handler_saw == 0) {
      StrongRef<int> object = MakeStrong<int>(1);
      const ExpiryCallback callback(object, [](const WeakRef<int>&) { throw 1; });
      object.reset();
    }
  });
  set_up = 42;
  SetExpiryExceptionHandler(&ReadSetUp);
  thrower.join();
  EXPECT_EQ(handler_saw, 42);
  SetExpiryExceptionHandler(former);
}

// ---- other threads ----

TEST(ExpiryCallback, UnregisterWaitsForACallbackThatRunsElsewhere) {
  StrongRef<int> object = MakeStrong<int>(1);
  Gate running("running");
  Gate go_on("go on");
  bool finished = false;  // plain: Unregister() orders it
  ExpiryCallback callback(object, [&](const WeakRef<int>&) {
    running.Open();
    go_on.Wait();
    finished = true;
  });
  std::thread releaser([&] { object.reset(); });
  running.Wait();
  std::thread opener([&] { go_on.Open(); });
  EXPECT_FALSE(callback.Unregister());
  EXPECT_TRUE(finished);
  opener.join();
  releaser.join();
}

// The same with a node whose state can be seen: the callback does not go on before the canceller
// waits for it, so a Cancel() that does not wait could not be missed.
class BareNode : public internal::CallbackNode<internal::RealSync, BareNode> {
 public:
  explicit BareNode(std::function<void()> invoke) : invoke_(std::move(invoke)) {}
  ~BareNode() = default;
  void Invoke() { invoke_(); }
  void Release() noexcept { invoke_ = nullptr; }
  static void Dispatch(BareNode* node) noexcept { node->Run(); }
  static void ReportException() noexcept {}
  void CountCancelled() {}

 private:
  std::function<void()> invoke_;
};

TEST(CallbackNode, CancelReturnsAfterTheCallbackThatRunsElsewhere) {
  std::atomic<bool> returned{false};
  bool finished = false;
  Gate running("running");
  BareNode* node = nullptr;
  node = new BareNode([&] {
    running.Open();
    while (node->state() != BareNode::State::kAwaited) std::this_thread::yield();
    EXPECT_FALSE(returned);
    finished = true;
  });
  std::thread runner([&] { node->Run(); });
  running.Wait();
  EXPECT_FALSE(node->Cancel());
  returned = true;
  EXPECT_TRUE(finished);
  EXPECT_EQ(node->state(), BareNode::State::kDone);
  node->DropShare();
  runner.join();
}

TEST(CallbackNode, CancelBeatsRun) {
  int runs = 0;
  auto* node = new BareNode([&] { ++runs; });
  EXPECT_TRUE(node->Cancel());
  EXPECT_FALSE(node->Cancel());
  EXPECT_EQ(node->state(), BareNode::State::kCancelled);
  node->DropShare();
  node->Run();
  EXPECT_EQ(runs, 0);
}

TEST(ExpiryCallback, TryUnregisterNeverWaits) {
  StrongRef<int> object = MakeStrong<int>(1);
  Gate running("running");
  Gate go_on("go on");
  ExpiryCallback callback(object, [&](const WeakRef<int>&) {
    running.Open();
    go_on.Wait();
  });
  std::thread releaser([&] { object.reset(); });
  running.Wait();
  EXPECT_FALSE(callback.TryUnregister());  // would hang if it waited: the gate is opened below
  EXPECT_FALSE(callback.registered());
  go_on.Open();
  EXPECT_FALSE(callback.Unregister());  // still the registration: now it waits
  releaser.join();
}

TEST(ExpiryCallback, UnregisterDoesNotWaitForOtherCallbacks) {
  StrongRef<int> object = MakeStrong<int>(1);
  Gate running("running");
  Gate go_on("go on");
  int calls = 0;
  ExpiryCallback older(object, [&](const WeakRef<int>&) { ++calls; });
  ExpiryCallback newer(object, [&](const WeakRef<int>&) {
    running.Open();
    go_on.Wait();
  });
  std::thread releaser([&] { object.reset(); });
  running.Wait();
  EXPECT_TRUE(older.Unregister());
  go_on.Open();
  releaser.join();
  EXPECT_EQ(calls, 0);
}

TEST(ExpiryCallback, ManyThreadsMayRegisterAtOnce) {
  StrongRef<int> object = MakeStrong<int>(1);
  constexpr int kThreads = 4;
  const int each = support::ScaledIterations(2'000);
  std::atomic<int> calls{0};
  std::vector<std::vector<ExpiryCallback>> callbacks(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t, mine = object] {
      for (int i = 0; i < each; ++i) {
        callbacks[t].emplace_back(mine, [&](const WeakRef<int>&) { ++calls; });
        if (i % 3 == 0) callbacks[t].pop_back();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  int registered = 0;
  for (const auto& of_thread : callbacks) registered += static_cast<int>(of_thread.size());
  object.reset();
  EXPECT_EQ(calls, registered);
}

// ---- the sweep ----

TEST(ExpiryCallbackSweep, RegisteringAndCancellingForEverKeepsMemoryBounded) {
  const StrongRef<int> object = MakeStrong<int>(1);
  const int64_t before = LiveHeapBlocks();
  int64_t most = 0;
  for (int i = 0; i < 100'000; ++i) {
    const ExpiryCallback callback(object, kIgnore);
    most = std::max(most, LiveHeapBlocks() - before);
  }
  EXPECT_LE(most, 20);  // the threshold is 16
  EXPECT_EQ(GetWeakRefCount(object), 0);
}

TEST(ExpiryCallbackSweep, LiveOnesStayAndBoundTheDeadOnes) {
  StrongRef<int> object = MakeStrong<int>(1);
  constexpr int kLive = 100;
  int calls = 0;
  std::vector<ExpiryCallback> live;
  live.reserve(kLive);
  const int64_t before = LiveHeapBlocks();
  int64_t most = 0;
  for (int i = 0; i < support::ScaledIterations(100'000); ++i) {
    if (i < kLive) live.emplace_back(object, [&](const WeakRef<int>&) { ++calls; });
    const ExpiryCallback callback(object, kIgnore);
    most = std::max(most, LiveHeapBlocks() - before);
  }
  EXPECT_LE(most, kLive + 4 * kLive + 20);  // a power of two of at most four times the live ones
  object.reset();
  EXPECT_EQ(calls, kLive);
}

// Oracle: a list of what is registered. At the end exactly these run, newest first.
TEST(ExpiryCallbackSweep, RandomRegistrationsRunAsAListSays) {
  std::mt19937_64 random(support::TestSeed());
  for (int round = 0; round < support::ScaledIterations(100); ++round) {
    StrongRef<int> object = MakeStrong<int>(1);
    std::vector<int> ran;
    std::vector<std::pair<int, ExpiryCallback>> registered;
    const unsigned keep = 1 + random() % 10;
    for (int i = 0; i < 500; ++i) {
      registered.emplace_back(
          i, ExpiryCallback(object, [&ran, i](const WeakRef<int>&) { ran.push_back(i); }));
      while (registered.size() > 1 && random() % 10 >= keep) {
        registered.erase(registered.begin() + static_cast<ptrdiff_t>(random() % registered.size()));
      }
    }
    std::vector<int> expected;
    for (auto it = registered.rbegin(); it != registered.rend(); ++it) {
      expected.push_back(it->first);
    }
    object.reset();
    ASSERT_EQ(ran, expected) << "round " << round;
  }
}

TEST(ExpiryCallback, GivesAllMemoryBack) {
  (void)InlineExecutor::Get();
  const int64_t before = LiveHeapBlocks();
  {
    StrongRef<int> object = MakeStrong<int>(1);
    ExpiryCallback cancelled(object, kIgnore);
    cancelled.Unregister();
    ExpiryCallback detached(object, kIgnore);
    detached.Detach();
    const ExpiryCallback runs(object, kIgnore);
    const ExpiryCallback large(object, [numbers = std::vector<int>(10)](const WeakRef<int>&) {});
    object.reset();
  }
  EXPECT_EQ(LiveHeapBlocks(), before);
}

}  // namespace
}  // namespace weakref
