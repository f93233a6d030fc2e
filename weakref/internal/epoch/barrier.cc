#include "weakref/internal/epoch/barrier.h"

#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEAKREF_UNDER_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define WEAKREF_UNDER_TSAN 1
#endif

namespace weakref::internal::epoch {

#if defined(__linux__) && !defined(WEAKREF_UNDER_TSAN)

namespace {
long Membarrier(int command) { return syscall(__NR_membarrier, command, 0, 0); }

bool Register() {
  const long supported = Membarrier(MEMBARRIER_CMD_QUERY);
  return supported > 0 && (supported & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 &&
         Membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}
}  // namespace

bool HeavyBarrierAvailable() {
  static const bool available = Register();
  return available;
}

bool HeavyBarrier() { return Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0; }

#else

bool HeavyBarrierAvailable() { return false; }
bool HeavyBarrier() { return false; }

#endif

}  // namespace weakref::internal::epoch
