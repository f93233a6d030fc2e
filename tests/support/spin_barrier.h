// A barrier whose threads spin: they go on within nanoseconds of each other, so that what follows
// really overlaps. (std::barrier wakes the others by the kernel; the last to arrive is through with
// a short operation before they run.)

#ifndef WEAKREF_TESTS_SUPPORT_SPIN_BARRIER_H_
#define WEAKREF_TESTS_SUPPORT_SPIN_BARRIER_H_

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <utility>

namespace weakref::support {

// Puts this thread on a core of its own, as far as there are any: two threads that the scheduler
// lets take turns on one core never meet.
inline void PinToCore(int thread) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  int skip = thread % CPU_COUNT(&allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || skip-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    (void)sched_setaffinity(0, sizeof(one), &one);
    return;
  }
}

class SpinBarrier {
 public:
  // `between` runs in the last thread to arrive, before anybody goes on.
  SpinBarrier(int threads, std::function<void()> between)
      : threads_(threads), between_(std::move(between)) {}

  void ArriveAndWait() {
    const uint64_t generation = generation_.load();
    if (arrived_.fetch_add(1) + 1 == threads_) {
      between_();
      arrived_.store(0);
      generation_.store(generation + 1);
      return;
    }
    for (int spins = 0; generation_.load() == generation; ++spins) {
      if (spins > kSpins) std::this_thread::yield();  // more threads than cores
    }
  }

 private:
  static constexpr int kSpins = 20'000;

  const int threads_;
  const std::function<void()> between_;
  std::atomic<int> arrived_{0};
  std::atomic<uint64_t> generation_{0};
};

}  // namespace weakref::support

#endif  // WEAKREF_TESTS_SUPPORT_SPIN_BARRIER_H_
