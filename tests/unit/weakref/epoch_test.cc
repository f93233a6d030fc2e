// Reclamation, step by step: what a reader keeps, and when it is given back.
//
// Domains of the tests' own are driven by one thread that plays all parts; the process' domain is
// used as the library uses it, by threads that gates hold inside their guards.

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <barrier>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/gate.h"
#include "tests/support/heap_count.h"
#include "tests/support/run_threads.h"
#include "tests/support/stress_scale.h"
#include "tests/support/test_syncs.h"
#include "weakref/internal/epoch/barrier.h"
#include "weakref/internal/epoch/guard.h"

namespace weakref::internal::epoch {
namespace {

using support::Gate;
using support::RunThreads;
using support::ScaledIterations;
using support::SwitchSync;

// Something to retire, that tells when it is given back.
template <class Sync>
class Retired final : public BasicControlBlock<Sync> {
 public:
  using Block = BasicControlBlock<Sync>;
  static Block* Make(std::function<void()> at_free) { return new Retired(std::move(at_free)); }

 private:
  explicit Retired(std::function<void()> at_free)
      : Block(typename Block::Listed(), &kOps, 0, Block::kSentinel), at_free_(std::move(at_free)) {}
  static void Deallocate(Block* block) noexcept {
    const std::function<void()> at_free = std::move(static_cast<Retired*>(block)->at_free_);
    delete static_cast<Retired*>(block);
    at_free();
  }
  static constexpr BlockOps<Sync> kOps = {nullptr, &Deallocate, nullptr, nullptr, nullptr};

  std::function<void()> at_free_;
};

// A domain and how much of what was retired with it has come back. Domains keep their slots for
// ever, so they are never destroyed.
template <class Sync = SwitchSync>
class DomainTester {
 public:
  explicit DomainTester(bool asymmetric) : domain_(*Domains().emplace_back(new Domain<Sync>())) {
    if (asymmetric) domain_.UseAsymmetricBarrier();
  }

  Domain<Sync>* operator->() { return &domain_; }
  // A slot whose thread has been inside before: as guards take them.
  Slot<Sync>* NewReader() {
    Slot<Sync>* slot = domain_.AcquireSlot();
    domain_.Enter(slot);
    domain_.Leave(slot);
    return slot;
  }
  void Retire(Slot<Sync>* slot = nullptr, size_t stripe = 0) {
    (void)domain_.Retire(Make(), stripe, 64, slot);
  }
  BasicControlBlock<Sync>* Make() {
    return Retired<Sync>::Make([this] { ++freed_; });
  }
  int freed() const { return freed_; }

 private:
  static std::vector<Domain<Sync>*>& Domains() {
    static auto* const domains = new std::vector<Domain<Sync>*>();
    return *domains;
  }
  Domain<Sync>& domain_;
  int freed_ = 0;
};

// ---- both ways to enter ----

class EpochTest : public testing::TestWithParam<bool> {
 protected:
  DomainTester<> domain_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Modes, EpochTest, testing::Bool(), [](const auto& mode) {
  return std::string(mode.param ? "Asymmetric" : "Exchanging");
});

TEST_P(EpochTest, WithoutReadersAllIsGivenBackAtOnce) {
  EXPECT_TRUE(domain_->TryReclaim()) << "nothing is all";
  for (int i = 0; i < 10; ++i) domain_.Retire();
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 10);
}

TEST_P(EpochTest, ReaderKeepsWhatIsRetiredUntilItLeaves) {
  auto* reader = domain_.NewReader();
  domain_->Enter(reader);
  domain_.Retire();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 0);
  domain_->Leave(reader);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 1);
}

TEST_P(EpochTest, ReaderOutsideKeepsNothing) {
  (void)domain_.NewReader();
  domain_.Retire();
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 1);
}

TEST_P(EpochTest, EachOfManyReadersKeepsIt) {
  std::vector<Slot<SwitchSync>*> readers;
  for (int i = 0; i < 5; ++i) {
    readers.push_back(domain_.NewReader());
    domain_->Enter(readers.back());
  }
  domain_.Retire();
  for (auto* reader : readers) {
    EXPECT_FALSE(domain_->TryReclaim());
    domain_->Leave(reader);
  }
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 1);
}

TEST_P(EpochTest, ReaderThatEntersLaterDelaysNothing) {
  auto* early = domain_.NewReader();
  auto* late = domain_.NewReader();
  domain_->Enter(early);
  domain_.Retire();
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->Enter(late);
  auto* fresh = domain_.NewReader();  // a thread that was not there when it began
  domain_->Enter(fresh);
  domain_->Leave(early);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 1);
}

TEST_P(EpochTest, ReaderThatCameBackHasLeft) {
  auto* reader = domain_.NewReader();
  domain_->Enter(reader);
  domain_.Retire();
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->Leave(reader);
  domain_->Enter(reader);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 1);
}

TEST_P(EpochTest, WhatComesDuringAGracePeriodWaitsForItsOwn) {
  auto* first = domain_.NewReader();
  auto* second = domain_.NewReader();
  domain_->Enter(first);
  domain_.Retire();
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->Enter(second);  // may have found what is retired next
  domain_.Retire();
  EXPECT_FALSE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 0);
  domain_->Leave(first);
  EXPECT_FALSE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 1);
  domain_->Leave(second);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 2);
}

TEST_P(EpochTest, EveryStripeIsTaken) {
  for (size_t stripe = 0; stripe < 3 * Domain<SwitchSync>::kStripes; ++stripe) {
    domain_.Retire(nullptr, stripe);
  }
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 3 * Domain<SwitchSync>::kStripes);
}

TEST_P(EpochTest, SharedReaderKeepsWhatIsRetiredUntilItLeaves) {
  domain_->EnterShared();
  domain_->EnterShared();
  domain_.Retire();
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->LeaveShared();
  EXPECT_FALSE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 0);
  domain_->LeaveShared();
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 1);
}

TEST_P(EpochTest, ThreadThatExitedDelaysNothing) {
  auto* exited = domain_.NewReader();
  domain_->Enter(exited);
  domain_.Retire();
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->Leave(exited);
  domain_->ReleaseSlot(exited);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 1);
}

TEST_P(EpochTest, NextOwnerOfANotedSlotDelaysNothing) {
  auto* slot = domain_.NewReader();
  domain_->Enter(slot);
  domain_.Retire();
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->Leave(slot);
  domain_->ReleaseSlot(slot);
  ASSERT_EQ(domain_->AcquireSlot(), slot);
  domain_->Enter(slot);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 1);
  // And keeps what is retired from here on.
  domain_.Retire();
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->Leave(slot);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 2);
}

TEST_P(EpochTest, GivingBackMayRetireAndReclaim) {
  int freed = 0;
  bool all = false;
  auto* outer = Retired<SwitchSync>::Make([&] {
    ++freed;
    (void)domain_->Retire(Retired<SwitchSync>::Make([&] { ++freed; }), 0, 64, nullptr);
    all = domain_->TryReclaim();
  });
  (void)domain_->Retire(outer, 0, 64, nullptr);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_TRUE(all);
  EXPECT_EQ(freed, 2);
}

TEST_P(EpochTest, ForgottenThreadsKeepNothing) {
  auto* self = domain_.NewReader();
  auto* other = domain_.NewReader();
  domain_->Enter(other);
  domain_->EnterShared();
  domain_.Retire();
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->ForgetOtherThreads(self);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 1);
  EXPECT_EQ(domain_.NewReader(), other) << "the slot is free again";
}

TEST_P(EpochTest, ThreadThatForkedInsideIsStillInside) {
  auto* self = domain_.NewReader();
  domain_->Enter(self);
  domain_.Retire();
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->ForgetOtherThreads(self);
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->Leave(self);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 1);
}

// A thread that has a slot and was never inside may be on its way in, by a store or by an exchange:
// the reclaimer waits until it knows.
TEST(EpochExchanging, ThreadThatWasNeverInsideDelaysUntilItIs) {
  DomainTester<> domain(false);
  auto* newcomer = domain->AcquireSlot();
  domain.Retire();
  EXPECT_FALSE(domain->TryReclaim());
  domain->Enter(newcomer);
  EXPECT_FALSE(domain->TryReclaim());
  domain->Leave(newcomer);
  EXPECT_TRUE(domain->TryReclaim());
  EXPECT_EQ(domain.freed(), 1);
}

// ---- slots ----

TEST(EpochSlots, AreUsedAgain) {
  DomainTester<> domain(true);
  auto* a = domain->AcquireSlot();
  auto* b = domain->AcquireSlot();
  EXPECT_NE(a, b);
  EXPECT_NE(a->index, b->index);
  domain->ReleaseSlot(a);
  EXPECT_EQ(domain->AcquireSlot(), a);
  domain->ReleaseSlot(b);
  EXPECT_EQ(domain->AcquireSlot(), b);
}

TEST(EpochSlots, NoMemoryGivesNone) {
  DomainTester<> domain(true);
  Slot<SwitchSync>* slot;
  {
    const support::FailingHeap failing;
    slot = domain->AcquireSlot();
  }
  EXPECT_EQ(slot, nullptr);
  EXPECT_NE(domain->AcquireSlot(), nullptr);
}

TEST(EpochSlots, ThreadsGetSlotsOfTheirOwn) {
  DomainTester<> domain(true);
  for (int round = 0; round < 20; ++round) {
    std::array<Slot<SwitchSync>*, 8> slots;
    RunThreads(8, [&](int i) { slots[i] = domain->AcquireSlot(); });
    EXPECT_EQ(std::set<void*>(slots.begin(), slots.end()).size(), 8);
    RunThreads(8, [&](int i) { domain->ReleaseSlot(slots[i]); });
  }
  EXPECT_LT(domain->AcquireSlot()->index, 16) << "slots are used again";
}

// ---- when it is time ----

TEST(EpochBatch, IsDueAfterSoManyItems) {
  using D = Domain<SwitchSync>;
  DomainTester<> domain(true);
  for (uint32_t i = 1; i < D::kItemsPerBatch; ++i) {
    ASSERT_FALSE(domain->Retire(domain.Make(), i, 0, nullptr));
  }
  EXPECT_EQ(domain->ApproxRetired(), D::kItemsPerBatch - 1);
  EXPECT_TRUE(domain->Retire(domain.Make(), 0, 0, nullptr));
  EXPECT_TRUE(domain->TryReclaim());
  EXPECT_EQ(domain.freed(), D::kItemsPerBatch);
  EXPECT_EQ(domain->ApproxRetired(), 0);
}

TEST(EpochBatch, IsDueAfterSoManyBytes) {
  DomainTester<> domain(true);
  EXPECT_FALSE(domain->Retire(domain.Make(), 0, Domain<SwitchSync>::kBytesPerBatch - 1, nullptr));
  EXPECT_TRUE(domain->Retire(domain.Make(), 0, 1, nullptr));
  EXPECT_TRUE(domain->TryReclaim());
  EXPECT_EQ(domain.freed(), 2);
}

TEST(EpochBatch, ThreadsTellInLots) {
  using D = Domain<SwitchSync>;
  DomainTester<> domain(true);
  auto* slot = domain->AcquireSlot();
  for (uint32_t i = 1; i < D::kItemsPerReport; ++i) domain.Retire(slot);
  EXPECT_EQ(domain->ApproxRetired(), 0);
  domain.Retire(slot);
  EXPECT_EQ(domain->ApproxRetired(), D::kItemsPerReport);
  (void)domain->Retire(domain.Make(), 0, D::kBytesPerReport, slot);  // large: told at once
  EXPECT_EQ(domain->ApproxRetired(), D::kItemsPerReport + 1);
  domain.Retire(slot);
  domain->ReleaseSlot(slot);  // what is left, when the thread exits
  EXPECT_EQ(domain->ApproxRetired(), D::kItemsPerReport + 2);
  EXPECT_TRUE(domain->TryReclaim());
  EXPECT_EQ(domain.freed(), D::kItemsPerReport + 2);
}

TEST(EpochBatch, CostsOneBarrier) {
  DomainTester<> domain(true);
  auto* reader = domain->AcquireSlot();
  const int before = SwitchSync::heavy_barriers;
  EXPECT_TRUE(domain->TryReclaim());
  EXPECT_EQ(SwitchSync::heavy_barriers, before) << "nothing is retired";
  for (int i = 0; i < 100; ++i) domain.Retire(nullptr, static_cast<size_t>(i));
  domain->Enter(reader);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(domain->TryReclaim());
  domain->Leave(reader);
  EXPECT_TRUE(domain->TryReclaim());
  EXPECT_EQ(domain.freed(), 100);
  EXPECT_EQ(SwitchSync::heavy_barriers, before + 1);
}

// Runs a step of the test's inside the heavy barrier.
struct BarrierHookSync : RealSync {
  static bool HeavyBarrier() {
    if (in_barrier != nullptr) std::exchange(in_barrier, nullptr)();
    return true;
  }
  static inline std::function<void()> in_barrier;
};

TEST(EpochBatch, OnlyOneReclaimsAtATime) {
  DomainTester<BarrierHookSync> domain(true);
  domain.Retire();
  BarrierHookSync::in_barrier = [&] {
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(domain->TryReclaim());
    EXPECT_EQ(domain.freed(), 0) << "the first one's barrier is not over";
  };
  EXPECT_TRUE(domain->TryReclaim());
  EXPECT_EQ(domain.freed(), 1);
}

// A reader that entered before the barrier is seen after it, whenever it was.
TEST(EpochBatch, ReaderThatEntersDuringTheBarrierIsNoted) {
  DomainTester<BarrierHookSync> domain(true);
  auto* reader = domain->AcquireSlot();
  domain.Retire();
  BarrierHookSync::in_barrier = [&] { domain->Enter(reader); };
  EXPECT_FALSE(domain->TryReclaim());
  EXPECT_EQ(domain.freed(), 0);
  domain->Leave(reader);
  EXPECT_TRUE(domain->TryReclaim());
  EXPECT_EQ(domain.freed(), 1);
}

// ---- the barrier that fails ----

class EpochSwitchTest : public testing::Test {
 protected:
  ~EpochSwitchTest() override { SwitchSync::heavy_barrier_fails = false; }

  DomainTester<> domain_{true};
};

TEST_F(EpochSwitchTest, ReaderInsideKeepsWhatItFound) {
  auto* reader = domain_->AcquireSlot();
  domain_->Enter(reader);
  domain_.Retire();
  SwitchSync::heavy_barrier_fails = true;
  EXPECT_FALSE(domain_->TryReclaim());
  EXPECT_FALSE(domain_->asymmetric());
  EXPECT_EQ(domain_.freed(), 0);
  // Its leaving is a plain store, and the next entry might have been one: nothing is known of this
  // thread until it enters by exchange.
  domain_->Leave(reader);
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->Enter(reader);
  EXPECT_FALSE(domain_->TryReclaim()) << "inside, by exchange";
  domain_->Leave(reader);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 1);
}

// The case for which the switch must wait: a reader has entered by a store that the failed barrier
// did not make visible. The reclaimer sees it outside.
TEST_F(EpochSwitchTest, ReaderSeenOutsideIsNotTrusted) {
  auto* reader = domain_->AcquireSlot();
  domain_->Enter(reader);
  domain_->Leave(reader);
  domain_.Retire();
  SwitchSync::heavy_barrier_fails = true;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 0);
  domain_->Enter(reader);
  domain_->Leave(reader);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 1);
}

TEST_F(EpochSwitchTest, ThreadThatExitsIsTrusted) {
  auto* reader = domain_->AcquireSlot();
  domain_->Enter(reader);
  domain_.Retire();
  SwitchSync::heavy_barrier_fails = true;
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->Leave(reader);
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->ReleaseSlot(reader);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 1);
}

TEST_F(EpochSwitchTest, FreeSlotAndThreadThatComesLaterDelayNothing) {
  domain_->ReleaseSlot(domain_->AcquireSlot());
  domain_.Retire();
  SwitchSync::heavy_barrier_fails = true;
  EXPECT_TRUE(domain_->TryReclaim()) << "no thread has a slot";
  EXPECT_EQ(domain_.freed(), 1);
  EXPECT_FALSE(domain_->asymmetric());
  domain_.Retire();
  auto* reader = domain_->AcquireSlot();
  domain_->Enter(reader);  // by exchange
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->Leave(reader);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 2);
}

TEST_F(EpochSwitchTest, IsForGood) {
  domain_.Retire();
  SwitchSync::heavy_barrier_fails = true;
  EXPECT_TRUE(domain_->TryReclaim());
  SwitchSync::heavy_barrier_fails = false;
  const int barriers = SwitchSync::heavy_barriers;
  domain_.Retire();
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_FALSE(domain_->asymmetric());
  EXPECT_EQ(SwitchSync::heavy_barriers, barriers) << "never tried again";
}

TEST_F(EpochSwitchTest, BatchOfASwitchIsFollowedByOrdinaryOnes) {
  auto* reader = domain_->AcquireSlot();
  domain_->Enter(reader);
  domain_->Leave(reader);
  domain_.Retire();
  SwitchSync::heavy_barrier_fails = true;
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->Enter(reader);
  domain_->Leave(reader);
  EXPECT_TRUE(domain_->TryReclaim());
  domain_->Enter(reader);
  domain_.Retire();
  EXPECT_FALSE(domain_->TryReclaim());
  domain_->Leave(reader);
  EXPECT_TRUE(domain_->TryReclaim());
  EXPECT_EQ(domain_.freed(), 2);
}

// ---- the process' domain, through guards ----

// Retires with the process' domain; tells whether it was given back.
class GlobalRetired {
 public:
  explicit GlobalRetired(uint32_t bytes = 0) {
    Retire<RealSync>(Retired<RealSync>::Make([this] { freed_ = true; }), 0, bytes);
  }
  GlobalRetired(const GlobalRetired&) = delete;
  GlobalRetired& operator=(const GlobalRetired&) = delete;

  // Several steps: what others left before may have to go first.
  bool FreedAfterSteps() const {
    for (int i = 0; i < 4; ++i) global_domain<RealSync>.TryReclaim();
    return freed_;
  }

 private:
  std::atomic<bool> freed_{false};
};

TEST(Guard, KeepsWhatIsRetiredUntilItGoes) {
  auto guard = std::make_unique<Guard<RealSync>>();
  const GlobalRetired retired;
  EXPECT_FALSE(retired.FreedAfterSteps());
  guard.reset();
  EXPECT_TRUE(retired.FreedAfterSteps());
}

TEST(Guard, NestedOnesLeaveWithTheOutermost) {
  auto outer = std::make_unique<Guard<RealSync>>();
  auto inner = std::make_unique<Guard<RealSync>>();
  const GlobalRetired retired;
  inner.reset();
  EXPECT_FALSE(retired.FreedAfterSteps());
  inner = std::make_unique<Guard<RealSync>>();
  inner->Leave();
  EXPECT_FALSE(retired.FreedAfterSteps());
  outer->Leave();
  EXPECT_TRUE(retired.FreedAfterSteps());
}

TEST(Guard, ThatLeftEarlyDoesNotLeaveForTheNext) {
  auto first = std::make_unique<Guard<RealSync>>();
  first->Leave();
  auto second = std::make_unique<Guard<RealSync>>();
  const GlobalRetired retired;
  first.reset();
  EXPECT_FALSE(retired.FreedAfterSteps());
  second.reset();
  EXPECT_TRUE(retired.FreedAfterSteps());
}

TEST(Guard, OfAnotherThreadKeepsToo) {
  Gate inside("inside");
  Gate leave("leave");
  std::thread reader([&] {
    const Guard<RealSync> guard;
    inside.Open();
    leave.Wait();
  });
  inside.Wait();
  const GlobalRetired retired;
  EXPECT_FALSE(retired.FreedAfterSteps());
  leave.Open();
  reader.join();
  EXPECT_TRUE(retired.FreedAfterSteps());
}

TEST(Guard, EachOfManyThreadsKeeps) {
  constexpr int kThreads = 16;
  std::array<Gate, kThreads> inside;
  std::array<Gate, kThreads> leave;
  std::array<const void*, kThreads> slots{};
  std::vector<std::thread> readers;
  for (int i = 0; i < kThreads; ++i) {
    readers.emplace_back([&, i] {
      const Guard<RealSync> guard;
      slots[i] = guard.slot();
      inside[i].Open();
      leave[i].Wait();
    });
  }
  for (Gate& gate : inside) gate.Wait();
  EXPECT_EQ(std::set<const void*>(slots.begin(), slots.end()).size(), kThreads);
  const GlobalRetired retired;
  for (int i = 0; i < kThreads; ++i) {
    EXPECT_FALSE(retired.FreedAfterSteps());
    leave[i].Open();
    readers[i].join();
  }
  EXPECT_TRUE(retired.FreedAfterSteps());
}

TEST(Guard, SlotOfAThreadThatExitedIsUsedAgain) {
  std::set<const void*> slots;
  for (int i = 0; i < 50; ++i) {
    std::thread([&] { slots.insert(Guard<RealSync>().slot()); }).join();
  }
  EXPECT_EQ(slots.size(), 1);
  const Guard<RealSync> own;
  EXPECT_EQ(slots.count(own.slot()), 0);
}

// The slot has been given back by then: the guard takes one for itself.
TEST(Guard, WorksInThreadLocalDestructorsAfterTheSlotIsGone) {
  static Gate* inside;
  static Gate* leave;
  static const void* slot;
  struct AtExit {
    ~AtExit() {
      const Guard<RealSync> outer;
      const Guard<RealSync> nested;
      slot = outer.slot();
      inside->Open();
      leave->Wait();
    }
    int touched = 0;
  };
  std::set<const void*> slots;
  for (int round = 0; round < 3; ++round) {
    Gate inside_gate("inside a thread-local destructor");
    Gate leave_gate("leave a thread-local destructor");
    inside = &inside_gate;
    leave = &leave_gate;
    const void* slot_before = nullptr;
    std::thread reader([&] {
      static thread_local AtExit at_exit;  // before the library's own: destroyed after it
      at_exit.touched = 1;
      slot_before = Guard<RealSync>().slot();
    });
    inside_gate.Wait();
    EXPECT_NE(slot, nullptr);
    const GlobalRetired retired;
    EXPECT_FALSE(retired.FreedAfterSteps());
    leave_gate.Open();
    reader.join();
    EXPECT_TRUE(retired.FreedAfterSteps());
    slots.insert({slot, slot_before});
  }
  EXPECT_EQ(slots.size(), 1) << "no slot was lost to the round before";
}

TEST(Guard, WithoutMemoryForASlotStillKeeps) {
  // All free slots are taken, and there is no memory for another one.
  std::vector<Slot<RealSync>*> taken(64);
  size_t count = 0;
  {
    const support::FailingHeap failing;
    while ((taken[count] = global_domain<RealSync>.AcquireSlot()) != nullptr) {
      global_domain<RealSync>.Enter(taken[count]);
      global_domain<RealSync>.Leave(taken[count]);
      ++count;
    }
  }
  Gate inside("inside");
  Gate leave("leave");
  std::thread reader([&] {
    std::optional<Guard<RealSync>> guard;
    {
      const support::FailingHeap failing;
      guard.emplace();
    }
    EXPECT_EQ(guard->slot(), nullptr);
    inside.Open();
    leave.Wait();
  });
  inside.Wait();
  const GlobalRetired retired;
  EXPECT_FALSE(retired.FreedAfterSteps());
  leave.Open();
  reader.join();
  EXPECT_TRUE(retired.FreedAfterSteps());
  for (size_t i = 0; i < count; ++i) global_domain<RealSync>.ReleaseSlot(taken[i]);
}

// Giving back runs user code, which nothing under a guard may do.
TEST(Guard, RetiringInsideLeavesReclaimingForLater) {
  std::atomic<int> freed{0};
  int retired = 0;
  const auto retire = [&](uint32_t bytes) {
    Retire<RealSync>(Retired<RealSync>::Make([&] { ++freed; }), 0, bytes);
    ++retired;
  };
  Gate inside("inside");
  Gate leave("leave");
  std::thread reader([&] {
    const Guard<RealSync> guard;
    inside.Open();
    leave.Wait();
  });
  inside.Wait();
  retire(Domain<RealSync>::kBytesPerBatch);  // a batch of its own, kept by the reader
  EXPECT_EQ(freed, 0);
  leave.Open();
  reader.join();
  {
    // Now somebody could give that batch back, and more than enough comes to try it.
    const Guard<RealSync> guard;
    for (uint32_t i = 0; i < 3 * Domain<RealSync>::kItemsPerBatch; ++i) retire(0);
    EXPECT_EQ(freed, 0);
  }
  for (uint32_t i = 0; i < Domain<RealSync>::kItemsPerReport; ++i) retire(0);
  EXPECT_GT(freed, 0) << "overdue: the next report reclaims";
  for (int i = 0; i < 4; ++i) global_domain<RealSync>.TryReclaim();
  EXPECT_EQ(freed, retired);
}

// In the child there is no thread but the one that forked: the others keep nothing there.
TEST(Guard, OfAThreadThatAForkLeftBehindKeepsNothing) {
  Gate inside("inside");
  Gate leave("leave");
  std::thread reader([&] {
    const Guard<RealSync> guard;
    inside.Open();
    leave.Wait();
  });
  inside.Wait();
  const GlobalRetired retired;
  EXPECT_FALSE(retired.FreedAfterSteps());
  const pid_t child = fork();
  ASSERT_NE(child, -1);
  if (child == 0) {
    const bool freed = retired.FreedAfterSteps();
    bool kept = true;
    {
      const Guard<RealSync> guard;
      kept = !GlobalRetired().FreedAfterSteps();
    }
    _exit(freed && kept ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_FALSE(retired.FreedAfterSteps()) << "the parent's reader is still inside";
  leave.Open();
  reader.join();
  EXPECT_TRUE(retired.FreedAfterSteps());
}

// ---- the barrier itself ----

// Store, light barrier, load against store, heavy barrier, load: one of them sees the other's
// store. (Without the heavy barrier both loads see 0 now and then: the stores wait in a buffer.)
TEST(HeavyBarrier, OneOfTwoSidesSeesTheOther) {
  if (!HeavyBarrierAvailable()) GTEST_SKIP() << "this kernel, or this build, has no membarrier";
  std::atomic<int> x{0};
  std::atomic<int> y{0};
  int seen_by_light = 0;
  int seen_by_heavy = 0;
  int both_missed = 0;
  const auto judge = [&]() noexcept {
    if (seen_by_light == 0 && seen_by_heavy == 0) ++both_missed;
    x.store(0, std::memory_order_relaxed);
    y.store(0, std::memory_order_relaxed);
  };
  std::barrier start(2);
  std::barrier end(2, judge);
  RunThreads(2, [&](int thread) {
    for (int i = 0; i < ScaledIterations(20000); ++i) {
      start.arrive_and_wait();
      if (thread == 0) {
        x.store(1, std::memory_order_relaxed);
        LightBarrier();
        seen_by_light = y.load(std::memory_order_relaxed);
      } else {
        y.store(1, std::memory_order_relaxed);
        EXPECT_TRUE(HeavyBarrier());
        seen_by_heavy = x.load(std::memory_order_relaxed);
      }
      end.arrive_and_wait();
    }
  });
  EXPECT_EQ(both_missed, 0);
}

}  // namespace
}  // namespace weakref::internal::epoch
