// Registrations, deaths and executors under threads.

#include "weakref/expiry_callback.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
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
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using support::Counted;
using support::InstanceCounts;
using support::LiveHeapBlocks;
using support::RunThreads;
using support::ScaledIterations;

constexpr int kThreads = 4;

// Threads register through a WeakRef, and unregister some, while the owner drops the object.
//
// Oracle: a registration with a living object runs exactly once, unless Unregister() or
// TryUnregister() said that it cancelled it: then never. One with a dead object never runs. When it
// runs, the object is destroyed. All memory comes back.
TEST(ExpiryCallbackStress, EachRegistrationRunsOnceOrWasCancelled) {
  struct Registration {
    std::atomic<int> runs{0};
    bool made = false;
    bool cancelled = false;
    ExpiryCallback callback;
  };
  constexpr int kEach = 24;
  const uint64_t seed = support::TestSeed();
  const int rounds = ScaledIterations(4'000);
  (void)InlineExecutor::Get();
  const int64_t before = LiveHeapBlocks();
  {
    InstanceCounts counts;
    std::atomic<bool> failed{false};
    StrongRef<Counted> object;
    WeakRef<Counted> weak;
    std::vector<std::vector<Registration>> all(kThreads);
    int round = 0;
    const auto next_round = [&] {
      ++round;
      for (auto& of_thread : all) {
        for (const Registration& registration : of_thread) {
          const int expected = registration.made && !registration.cancelled ? 1 : 0;
          if (registration.runs != expected) failed = true;
        }
        of_thread = std::vector<Registration>(kEach);
      }
      if (counts.live() != 0) failed = true;
      object = MakeStrong<Counted>(&counts);
      weak = object;
    };
    next_round();
    support::SpinBarrier end(kThreads, next_round);
    RunThreads(kThreads, [&](int thread) {
      support::PinToCore(thread);
      std::mt19937_64 random(seed + static_cast<uint64_t>(thread));
      for (int i = 0; i < rounds; ++i) {
        if (thread == 0) {
          for (uint64_t k = random() % 64; k > 0; --k) (void)weak.lock();
          object.reset();
        } else {
          std::vector<Registration>& mine = all[thread];
          for (Registration& registration : mine) {
            {
              // Made for certain if the object lived; this may be its last reference.
              const StrongRef<Counted> alive = weak.lock();
              registration.made = alive != nullptr;
              registration.callback =
                  ExpiryCallback(alive, [&failed, &registration](const WeakRef<Counted>& dead) {
                    ++registration.runs;
                    if (!dead.expired()) failed = true;
                  });
            }
            Registration& victim = mine[random() % mine.size()];
            if (random() % 4 != 0) continue;
            if (random() % 2 == 0 ? victim.callback.Unregister()
                                  : victim.callback.TryUnregister()) {
              victim.cancelled = true;
            }
          }
        }
        end.ArriveAndWait();
      }
    });
    EXPECT_FALSE(failed);
    object.reset();
  }
  EXPECT_EQ(LiveHeapBlocks(), before);
}

// One thread lets the object die, the other one unregisters and then frees what the callback uses.
//
// Oracle: the callback never touches it afterwards (AddressSanitizer, ThreadSanitizer: it is
// plain), and has finished if it began.
TEST(ExpiryCallbackStress, AfterUnregisterTheCallbackIsOver) {
  struct State {
    bool began = false;
    bool finished = false;
  };
  const int rounds = ScaledIterations(100'000);
  StrongRef<int> object;
  std::optional<ExpiryCallback> callback;
  std::unique_ptr<State> state;
  std::atomic<bool> failed{false};
  int64_t cancelled = 0;
  const auto next_round = [&] {
    object = MakeStrong<int>(1);
    state = std::make_unique<State>();
    callback.emplace(object, [s = state.get()](const WeakRef<int>&) {
      s->began = true;
      s->finished = true;
    });
  };
  next_round();
  support::SpinBarrier end(2, next_round);
  const uint64_t seed = support::TestSeed();
  RunThreads(2, [&](int thread) {
    support::PinToCore(thread);
    std::mt19937_64 random(seed + static_cast<uint64_t>(thread));
    for (int i = 0; i < rounds; ++i) {
      // Up to a microsecond or two, so that they meet at another point in each round.
      for (uint64_t n = random() % 2048; n > 0; --n) {
        std::atomic_signal_fence(std::memory_order_seq_cst);
      }
      if (thread == 0) {
        object.reset();
      } else {
        const bool was_cancelled = callback->Unregister();
        if (was_cancelled) ++cancelled;
        // Not cancelled and not registered any more: it ran to its end.
        if (state->began != !was_cancelled || state->finished != !was_cancelled) failed = true;
        state.reset();
      }
      end.ArriveAndWait();
    }
  });
  EXPECT_FALSE(failed);
  std::printf("cancelled %lld of %d\n", static_cast<long long>(cancelled), rounds);
}

// Threads that own the object register and cancel for a long time, so that sweeps meet pushes.
//
// Oracle: what stays registered runs once at the end; callables of cancelled ones are gone at once,
// and their nodes with the next sweeps. (While a sweeper is preempted, others pile up: so memory is
// looked at afterwards.)
TEST(ExpiryCallbackStress, SweepsLoseNoLiveRegistration) {
  constexpr int kKeep = 20;
  InstanceCounts callables;
  std::atomic<int> runs{0};
  StrongRef<int> object = MakeStrong<int>(1);
  std::vector<std::vector<ExpiryCallback>> kept(kThreads);
  for (auto& of_thread : kept) of_thread.reserve(kKeep);
  const int64_t before = LiveHeapBlocks();
  const int steps = ScaledIterations(50'000);
  RunThreads(kThreads, [&, weak = WeakRef<int>(object)](int thread) {
    const StrongRef<int> mine = weak.lock();
    for (int i = 0; i < steps; ++i) {
      if (i % (steps / kKeep + 1) == 0) {
        kept[thread].emplace_back(
            mine, [&runs, c = Counted(&callables)](const WeakRef<int>&) { ++runs; });
      }
      const ExpiryCallback passing(mine, [c = Counted(&callables)](const WeakRef<int>&) {});
    }
  });
  int registered = 0;
  for (const auto& of_thread : kept) registered += static_cast<int>(of_thread.size());
  EXPECT_EQ(callables.live(), registered);
  for (int i = 0; i < 2'000; ++i) {
    const ExpiryCallback passing(object, [](const WeakRef<int>&) {});
  }
  EXPECT_LT(LiveHeapBlocks() - before, 2 * registered + 1'000);
  object.reset();
  EXPECT_EQ(runs, registered);
  EXPECT_EQ(callables.live(), 0);
}

// A pool with a queue of tickets, as users write it. Some tickets it drops.
class Pool : public Executor {
 public:
  Pool() {
    for (int i = 0; i < 2; ++i) {
      threads_.emplace_back([this] { Work(); });
    }
  }
  void Wake(DrainTicket&& ticket) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (++wakes_ % 7 == 0) return;  // lost
    tickets_.push_back(std::move(ticket));
    changed_.notify_one();
  }
  void Stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopped_ = true;
      changed_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
    tickets_.clear();
  }

 private:
  void Work() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return stopped_ || !tickets_.empty(); });
      if (stopped_) return;
      DrainTicket ticket = std::move(tickets_.front());
      tickets_.pop_front();
      lock.unlock();
      ticket.Run();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<DrainTicket> tickets_;
  int wakes_ = 0;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

// Objects die in several threads; their callbacks run on a pool that loses tickets and is stopped
// in the middle.
//
// Oracle: every callback runs exactly once, after its object's destructor; callbacks of one
// executor run one at a time (the order is kept in a plain vector), those of one object newest
// first.
TEST(ExpiryCallbackStress, PoolThatLosesTicketsLosesNoCallback) {
  struct Ran {
    int object;
    int callback;
  };
  constexpr int kCallbacks = 3;
  const int objects = ScaledIterations(5'000);
  InstanceCounts counts;
  std::vector<Ran> ran;  // plain: callbacks come one at a time
  ran.reserve(static_cast<size_t>(kThreads * objects * kCallbacks));
  std::vector<std::atomic<bool>> destroyed(static_cast<size_t>(kThreads * objects));
  std::atomic<int> running{0};
  std::atomic<bool> failed{false};
  {
    const auto pool = std::make_shared<Pool>();
    RunThreads(kThreads, [&](int thread) {
      for (int i = 0; i < objects; ++i) {
        const int id = thread * objects + i;
        StrongRef<Counted> object(new Counted(&counts), [&destroyed, id](Counted* c) {
          delete c;
          destroyed[id] = true;
        });
        for (int k = 0; k < kCallbacks; ++k) {
          ExpiryCallback callback(
              object,
              [&, id, k](const WeakRef<Counted>&) {
                if (++running != 1 || !destroyed[id]) failed = true;
                ran.push_back({id, k});
                --running;
              },
              pool);
          callback.Detach();
        }
        object.reset();
        if (thread == 0 && i == objects / 2) pool->Stop();
      }
    });
    pool->Drain();
    EXPECT_EQ(pool->ApproxPending(), 0);
  }
  EXPECT_FALSE(failed);
  ASSERT_EQ(ran.size(), static_cast<size_t>(kThreads * objects * kCallbacks));
  std::vector<int> next(static_cast<size_t>(kThreads * objects), kCallbacks - 1);
  for (const Ran& one : ran) {
    ASSERT_EQ(one.callback, next[one.object]) << "object " << one.object;
    --next[one.object];
  }
  EXPECT_EQ(counts.live(), 0);
}

}  // namespace
}  // namespace weakref
