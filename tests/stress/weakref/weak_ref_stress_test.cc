// References under threads. Each test says what must hold whatever the scheduler does.

#include <atomic>
#include <cstdint>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/heap_count.h"
#include "tests/support/instance_counter.h"
#include "tests/support/run_threads.h"
#include "tests/support/spin_barrier.h"
#include "tests/support/stress_scale.h"
#include "tests/support/test_seed.h"
#include "weakref/enable_strong_from_this.h"
#include "weakref/make_strong.h"
#include "weakref/strong_ref.h"
#include "weakref/weak_ref.h"

namespace weakref {
namespace {

using support::Counted;
using support::InstanceCounts;
using support::LiveHeapBlocks;
using support::RunThreads;
using support::ScaledIterations;

constexpr int kThreads = 4;

// Up to a microsecond or two, so that threads meet at another point in each round.
void Jitter(std::mt19937_64& random) {
  for (uint64_t n = random() % 2048; n > 0; --n)
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

struct Object : EnableStrongFromThis<Object> {
  explicit Object(InstanceCounts* counts) : counted(counts) {}
  Counted counted;
};

// One thread drops the last reference while another one locks.
//
// Oracle: the lock gives null, or a live object that shows what was written before the drop. The
// object is destroyed exactly once, by the end of both; its memory is back when the WeakRef is
// gone.
TEST(WeakRefStress, LockVersusLastRelease) {
  const int rounds = ScaledIterations(200'000);
  const uint64_t seed = support::TestSeed();
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  {
    StrongRef<Object> strong;
    WeakRef<Object> weak;
    int64_t locked = 0;
    std::atomic<bool> failed{false};
    const auto next_round = [&] {
      if (counts.live() != 0) failed = true;
      strong = MakeStrong<Object>(&counts);
      weak = strong;
    };
    next_round();
    support::SpinBarrier end(2, next_round);
    RunThreads(2, [&](int thread) {
      support::PinToCore(thread);
      std::mt19937_64 random(seed + static_cast<uint64_t>(thread));
      for (int i = 0; i < rounds; ++i) {
        Jitter(random);
        if (thread == 0) {
          strong.reset();
        } else if (const StrongRef<Object> object = weak.lock()) {
          if (!object->counted.alive()) failed = true;
          ++locked;
        }
        end.ArriveAndWait();
      }
    });
    EXPECT_FALSE(failed);
    EXPECT_EQ(counts.constructed(), rounds + 1);
    std::printf("locked %lld of %d\n", static_cast<long long>(locked), rounds);
  }
  EXPECT_EQ(counts.live(), 0);
  EXPECT_EQ(LiveHeapBlocks(), before);
}

// Two owners drop at once; the second one to do so locked before, so that closes are blocked, fail
// and are taken over.
//
// Oracle: one destruction per object; who destroys sees both writes; expired() at the end.
TEST(WeakRefStress, DestructorSeesTheWritesOfAllOwners) {
  struct Shared {
    Shared(InstanceCounts* counts, std::atomic<bool>* failed_flag, int value)
        : counted(counts), failed(failed_flag), expected(value) {}
    ~Shared() {
      for (const int written : by_thread) {
        if (written != expected) *failed = true;
      }
    }
    Counted counted;
    std::atomic<bool>* failed;
    int expected;
    int by_thread[kThreads] = {};
  };
  const int rounds = ScaledIterations(10'000);
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  {
    std::atomic<bool> failed{false};
    std::vector<StrongRef<Shared>> owners(kThreads);
    WeakRef<Shared> weak;
    int round = 0;
    const auto next_round = [&] {
      if (!weak.expired()) failed = true;
      const StrongRef<Shared> fresh = MakeStrong<Shared>(&counts, &failed, ++round);
      for (StrongRef<Shared>& owner : owners) owner = fresh;
      weak = fresh;
    };
    next_round();
    support::SpinBarrier end(kThreads, next_round);
    RunThreads(kThreads, [&](int thread) {
      support::PinToCore(thread);
      for (int i = 1; i <= rounds; ++i) {
        owners[thread]->by_thread[thread] = i;
        if ((thread + i) % 2 == 0) {
          const WeakRef<Shared> mine = owners[thread];
          owners[thread].reset();
          (void)mine.lock();  // dropped at once: another last release, perhaps
        } else {
          owners[thread].reset();
        }
        end.ArriveAndWait();
      }
    });
    // Those of the last round, which nobody has written to.
    for (StrongRef<Shared>& owner : owners) {
      owner->expected = 0;
      owner.reset();
    }
    EXPECT_FALSE(failed);
    EXPECT_TRUE(weak.expired());
  }
  EXPECT_EQ(counts.live(), 0);
  EXPECT_EQ(LiveHeapBlocks(), before);
}

// Many threads lock and drop while the owner goes.
//
// Oracle: in each thread no lock() succeeds after expired() was true or a lock() failed; what is
// locked is alive; one destruction per object.
TEST(WeakRefStress, DeadStaysDead) {
  const int rounds = ScaledIterations(2'000);
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  {
    std::atomic<bool> failed{false};
    StrongRef<Object> strong;
    WeakRef<Object> weak;
    const auto next_round = [&] {
      strong = MakeStrong<Object>(&counts);
      weak = strong;
    };
    next_round();
    support::SpinBarrier end(kThreads, next_round);
    RunThreads(kThreads, [&](int thread) {
      support::PinToCore(thread);
      for (int i = 0; i < rounds; ++i) {
        if (thread == 0) {
          for (int k = 0; k < i % 64; ++k) (void)weak.lock();
          strong.reset();
          end.ArriveAndWait();
          continue;
        }
        WeakRef<Object> mine = weak;
        bool dead = false;
        int tries = 0;
        for (int after_death = 0; after_death < 5;) {
          if (thread == 1 && mine.expired()) dead = true;
          // Holding nothing, or the threads could keep the object alive for each other for ever.
          if (++tries % 64 == 0) std::this_thread::yield();
          const StrongRef<Object> object = mine.lock();
          if (object != nullptr) {
            if (dead || !object->counted.alive()) failed = true;
          } else {
            dead = true;
          }
          if (dead) {
            ++after_death;
            if (!mine.expired() || mine.use_count() != 0) failed = true;
          }
          if (thread == 2) mine = WeakRef<Object>(mine);
        }
        end.ArriveAndWait();
      }
    });
    EXPECT_FALSE(failed);
    EXPECT_EQ(counts.destroyed(), rounds);
  }
  EXPECT_EQ(counts.live(), 0);
  EXPECT_EQ(LiveHeapBlocks(), before);
}

// All owners make the first weak reference at once, then everything is dropped in any order.
//
// Oracle: the tokens add up: memory goes back, neither early (AddressSanitizer) nor never.
TEST(WeakRefStress, FirstWeakInManyThreads) {
  const int rounds = ScaledIterations(10'000);
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  {
    std::atomic<bool> failed{false};
    std::vector<StrongRef<Object>> owners(kThreads);
    const auto next_round = [&] {
      const StrongRef<Object> fresh = MakeStrong<Object>(&counts);
      for (StrongRef<Object>& owner : owners) owner = fresh;
    };
    next_round();
    support::SpinBarrier end(kThreads, next_round);
    RunThreads(kThreads, [&](int thread) {
      support::PinToCore(thread);
      for (int i = 0; i < rounds; ++i) {
        WeakRef<Object> weak;
        if (thread % 2 == 0) {
          weak = owners[thread]->weak_from_this();
        } else {
          weak = owners[thread];
        }
        const StrongRef<Object> self = owners[thread]->strong_from_this();
        if (self != owners[thread]) failed = true;
        if ((i + thread) % 3 == 0) weak.reset();
        owners[thread].reset();
        if (thread == i % kThreads && weak.lock() == nullptr && self == nullptr) failed = true;
        end.ArriveAndWait();
      }
    });
    EXPECT_FALSE(failed);
  }
  EXPECT_EQ(counts.live(), 0);
  EXPECT_EQ(LiveHeapBlocks(), before);
}

// Threads do at random what references can do, on slots that they share under mutexes; objects
// refer to each other, so that deaths nest.
//
// Oracle: who holds a StrongRef sees a live object. At the end nothing lives and no memory is out.
TEST(WeakRefStress, RandomOperationsOnSharedSlots) {
  struct Node : EnableStrongFromThis<Node> {
    explicit Node(InstanceCounts* counts) : counted(counts) {}
    Counted counted;
    // Written before the node is shared, so a chain, never a cycle.
    StrongRef<Node> next;
    WeakRef<Node> friend_ref;
  };
  struct Slot {
    std::mutex mutex;
    StrongRef<Node> strong;
    WeakRef<Node> weak;
  };
  constexpr int kSlots = 8;
  const uint64_t seed = support::TestSeed();
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  {
    std::vector<Slot> slots(kSlots);
    std::atomic<bool> failed{false};
    RunThreads(kThreads, [&](int thread) {
      std::mt19937_64 random(seed + static_cast<uint64_t>(thread));
      StrongRef<Node> held;
      WeakRef<Node> known;
      const int steps = ScaledIterations(500'000);
      for (int i = 0; i < steps; ++i) {
        Slot& slot = slots[random() % kSlots];
        // What is displaced dies outside the mutex.
        StrongRef<Node> old_strong;
        WeakRef<Node> old_weak;
        switch (random() % 10) {
          case 0: {
            StrongRef<Node> fresh = MakeStrong<Node>(&counts);
            if (random() % 2 == 0) fresh->next = held;
            fresh->friend_ref = known;
            const std::lock_guard<std::mutex> lock(slot.mutex);
            old_strong = std::exchange(slot.strong, std::move(fresh));
            break;
          }
          case 1: {
            StrongRef<Node> fresh(new Node(&counts));
            const std::lock_guard<std::mutex> lock(slot.mutex);
            old_strong = std::exchange(slot.strong, std::move(fresh));
            break;
          }
          case 2: {
            const std::lock_guard<std::mutex> lock(slot.mutex);
            old_strong = std::exchange(slot.strong, nullptr);
            break;
          }
          case 3:
          case 4: {
            const std::lock_guard<std::mutex> lock(slot.mutex);
            old_strong = std::exchange(held, slot.strong);
            break;
          }
          case 5: {
            const std::lock_guard<std::mutex> lock(slot.mutex);
            old_weak = std::exchange(slot.weak, known);
            break;
          }
          case 6: {
            const std::lock_guard<std::mutex> lock(slot.mutex);
            old_weak = std::exchange(known, slot.weak);
            break;
          }
          case 7:
            if (held != nullptr) known = held->weak_from_this();
            break;
          case 8:
            held = known.lock();
            break;
          default:
            if (held != nullptr) {
              held = held->friend_ref.lock();
            } else {
              known.reset();
            }
        }
        if (held != nullptr && !held->counted.alive()) failed = true;
        if (random() % 64 == 0) held.reset();
      }
    });
    EXPECT_FALSE(failed);
    slots.clear();
  }
  EXPECT_GT(counts.constructed(), 0);
  EXPECT_EQ(counts.live(), 0);
  EXPECT_EQ(LiveHeapBlocks(), before);
}

// Chains longer than the nesting limit die in several threads at once, each in its own queue.
//
// Oracle: all destroyed, all memory back, whichever thread dropped a shared tail last.
TEST(WeakRefStress, DeepDeathsInManyThreads) {
  struct Node {
    explicit Node(InstanceCounts* counts) : counted(counts) {}
    Counted counted;
    StrongRef<Node> next;
  };
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  const int rounds = ScaledIterations(300);
  for (int round = 0; round < rounds; ++round) {
    StrongRef<Node> tail;
    const auto grow = [&counts](StrongRef<Node> from, int n) {
      for (int i = 0; i < n; ++i) {
        StrongRef<Node> node = MakeStrong<Node>(&counts);
        node->next = std::move(from);
        from = std::move(node);
      }
      return from;
    };
    tail = grow(nullptr, 300);
    std::vector<StrongRef<Node>> heads;
    heads.reserve(kThreads);
    for (int t = 0; t < kThreads; ++t) heads.push_back(grow(tail, 100 + 10 * t));
    tail.reset();
    RunThreads(kThreads, [&](int thread) { heads[thread].reset(); });
    ASSERT_EQ(counts.live(), 0) << "round " << round;
  }
  EXPECT_EQ(LiveHeapBlocks(), before);
}

}  // namespace
}  // namespace weakref
