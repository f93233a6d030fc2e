#include "weakref/internal/epoch/guard.h"

#include <pthread.h>

namespace weakref::internal::epoch {
namespace {

ThreadSlot<RealSync>& ThisThread() { return RealSync::Local<ThreadSlot<RealSync>>(); }

// Gives the slot back when the thread exits.
struct ExitHook {
  ~ExitHook() {
    ThreadSlot<RealSync>& thread = ThisThread();
    thread.exited = true;
    // Inside a guard (a user's equality called exit()): the slot stays taken, which is safe.
    if (thread.slot != nullptr && !thread.slot->inside()) {
      global_domain<RealSync>.ReleaseSlot(thread.slot);
      thread.slot = nullptr;
    }
  }
  void Touch() const {}
};

bool InitialiseDomain() {
  if (HeavyBarrierAvailable()) global_domain<RealSync>.UseAsymmetricBarrier();
  pthread_atfork(nullptr, nullptr,
                 [] { global_domain<RealSync>.ForgetOtherThreads(ThisThread().slot); });
  return true;
}

}  // namespace

template <>
Slot<RealSync>* FirstSlot(ThreadSlot<RealSync>& thread) {
  static const bool initialised = InitialiseDomain();
  (void)initialised;
  Slot<RealSync>* slot = global_domain<RealSync>.AcquireSlot();
  if (slot != nullptr && !thread.exited) {
    static thread_local ExitHook hook;
    hook.Touch();
    thread.slot = slot;
  }
  return slot;
}

}  // namespace weakref::internal::epoch
