// The asymmetric barrier: the frequent side pays nothing, the rare side makes every thread of the
// process execute a full barrier.
//
// Light: forbids the compiler, and nobody else, to reorder across it.
// Heavy: membarrier(PRIVATE_EXPEDITED), Linux 4.14. With a light barrier in thread A between its
// write of x and its read of y, and a heavy barrier in thread B between its write of y and its read
// of x, A sees B's write or B sees A's.

#ifndef WEAKREF_INTERNAL_EPOCH_BARRIER_H_
#define WEAKREF_INTERNAL_EPOCH_BARRIER_H_

#include <atomic>

namespace weakref::internal::epoch {

// Returns whether HeavyBarrier() can work here; registers the process for it on the first call.
// False where the kernel lacks it, where a filter forbids it, and under ThreadSanitizer, which
// cannot see it.
bool HeavyBarrierAvailable();

// Returns false when the kernel refused: then nothing was ordered.
bool HeavyBarrier();

inline void LightBarrier() {
  // A compiler fence: emits no instruction, and ThreadSanitizer never has to understand it
  // (HeavyBarrierAvailable() is false there). Fixes the order of the slot store and the table
  // loads.
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace weakref::internal::epoch

#endif  // WEAKREF_INTERNAL_EPOCH_BARRIER_H_
