// The helpers, before they judge.

#include <atomic>
#include <cstddef>
#include <new>
#include <thread>

#include "gtest/gtest.h"
#include "tests/support/gate.h"
#include "tests/support/heap_count.h"
#include "tests/support/instance_counter.h"
#include "tests/support/manual_executor.h"
#include "tests/support/run_threads.h"
#include "tests/support/spin_barrier.h"
#include "tests/support/stress_scale.h"
#include "tests/support/test_seed.h"
#include "tests/support/test_syncs.h"

namespace weakref::support {
namespace {

TEST(InstanceCounts, CountsCopiesAndDestructions) {
  InstanceCounts counts;
  {
    const Counted first(&counts);
    const Counted second = first;
    EXPECT_EQ(counts.live(), 2);
    EXPECT_TRUE(second.alive());
  }
  EXPECT_EQ(counts.constructed(), 2);
  EXPECT_EQ(counts.destroyed(), 2);
}

TEST(InstanceCountsDeathTest, SecondDestructionAborts) {
  InstanceCounts counts;
  alignas(Counted) std::byte storage[sizeof(Counted)];
  Counted* volatile object = ::new (storage) Counted(&counts);
  object->~Counted();
  EXPECT_DEATH(object->~Counted(), "destroyed twice");
}

TEST(Gate, WaitReturnsAfterOpen) {
  Gate gate;
  bool opened = false;
  std::thread opener([&] {
    opened = true;
    gate.Open();
  });
  gate.Wait();
  EXPECT_TRUE(opened);
  EXPECT_TRUE(gate.IsOpen());
  opener.join();
}

TEST(RunThreads, RunsEachIndexOnce) {
  std::atomic<int> sum{0};
  RunThreads(8, [&](int i) { sum += 1 << i; });
  EXPECT_EQ(sum, 255);
}

TEST(SpinBarrier, RunsTheStepBetweenOncePerRound) {
  int rounds = 0;  // plain: the barrier orders it
  SpinBarrier barrier(3, [&] { ++rounds; });
  std::atomic<int> wrong{0};
  RunThreads(3, [&](int) {
    for (int i = 1; i <= 100; ++i) {
      barrier.ArriveAndWait();
      if (rounds != i) ++wrong;
      barrier.ArriveAndWait();
      if (rounds != i + 1) ++wrong;
      ++i;
    }
  });
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(rounds, 100);
}

TEST(ScaledIterations, IsNeverZero) {
  EXPECT_EQ(ScaledIterations(1), 1);
  EXPECT_EQ(ScaledIterations(1000), 1000 / kStressDivisor);
}

TEST(HeapCount, SeesAllocationAndFreeing) {
  const int64_t before = LiveHeapBlocks();
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  auto* volatile plain = new int(1);
  auto* volatile line = new Line();
  EXPECT_EQ(LiveHeapBlocks(), before + 2);
  delete plain;
  delete line;
  EXPECT_EQ(LiveHeapBlocks(), before);
}

TEST(HeapCount, FailingHeapFailsAfterWhatItAllows) {
  int* volatile first = nullptr;
  int* volatile second = nullptr;
  bool thrown = false;
  {
    const FailingHeap failing(1);
    first = new int(1);
    try {
      second = new int(2);
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
  }
  EXPECT_TRUE(thrown);
  EXPECT_EQ(second, nullptr);
  delete first;
}

TEST(SteppedSync, RunsTheStepOnceAfterTheChosenOperation) {
  SteppedSync::Atomic<uint64_t> variable{1};
  uint64_t seen = 0;
  SteppedSync::After(SteppedSync::Op::kFetchAdd, 8, [&] {
    seen = variable.load(std::memory_order_relaxed);
    variable.store(10, std::memory_order_relaxed);
  });
  variable.store(2, std::memory_order_relaxed);
  EXPECT_TRUE(SteppedSync::IsPending());
  EXPECT_EQ(variable.fetch_add(1, std::memory_order_relaxed), 2);
  EXPECT_EQ(seen, 3);
  EXPECT_EQ(variable.load(std::memory_order_relaxed), 10);
  EXPECT_FALSE(SteppedSync::IsPending());
}

}  // namespace
}  // namespace weakref::support
