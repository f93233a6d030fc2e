// Guard: while one exists, nothing that this thread finds in a table is given back.
//
// Only hash and equality may run inside: a guard is short, and holds no lock. Guards nest (a user's
// equality may look into another cache); only the outermost one enters and leaves.
// Never fails, never throws, also while the thread exits; wait-free after the thread's first.

#ifndef WEAKREF_INTERNAL_EPOCH_GUARD_H_
#define WEAKREF_INTERNAL_EPOCH_GUARD_H_

#include "weakref/internal/epoch/domain.h"

namespace weakref::internal::epoch {

// The process' domain. Constant-initialised, trivially destructible: usable at any time.
template <class Sync>
inline constinit Domain<Sync> global_domain;

// What a thread knows of its slot.
template <class Sync>
struct ThreadSlot {
  Slot<Sync>* slot;
  bool exited;  // the thread's slot has been given back
};

// Slow paths, in guard.cc for RealSync; a checker defines its own.
template <class Sync>
Slot<Sync>* FirstSlot(ThreadSlot<Sync>& thread);
template <>
Slot<RealSync>* FirstSlot(ThreadSlot<RealSync>& thread);

template <class Sync>
class Guard {
 public:
  Guard() {
    auto& thread = Sync::template Local<ThreadSlot<Sync>>();
    slot_ = thread.slot;
    if (slot_ == nullptr) [[unlikely]]
      slot_ = FirstSlot(thread);
    if (slot_ == nullptr) [[unlikely]] {
      domain().EnterShared();
      outermost_ = true;
    } else if (!slot_->inside()) [[likely]] {
      domain().Enter(slot_);
      outermost_ = true;
    }
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() { Leave(); }

  // Leaves early; the destructor then does nothing.
  void Leave() {
    if (!outermost_) return;
    outermost_ = false;
    if (slot_ == nullptr) [[unlikely]] {
      domain().LeaveShared();
      return;
    }
    domain().Leave(slot_);
    if (Sync::template Local<ThreadSlot<Sync>>().slot != slot_) [[unlikely]] {
      domain().ReleaseSlot(slot_);  // taken for this guard alone: the thread is exiting
    }
  }

  // A small number that no other thread inside a guard has; null slot: none.
  const Slot<Sync>* slot() const { return slot_; }

 private:
  static Domain<Sync>& domain() { return global_domain<Sync>; }

  Slot<Sync>* slot_;
  bool outermost_ = false;
};

// Retires outside of a guard, and reclaims when it is time. Runs user code (destructors of keys):
// call it under no lock.
template <class Sync>
void Retire(BasicControlBlock<Sync>* block, size_t stripe, uint32_t bytes) {
  Slot<Sync>* slot = Sync::template Local<ThreadSlot<Sync>>().slot;
  if (global_domain<Sync>.Retire(block, stripe, bytes, slot) &&
      (slot == nullptr || !slot->inside())) {
    global_domain<Sync>.TryReclaim();
  }
}

}  // namespace weakref::internal::epoch

#endif  // WEAKREF_INTERNAL_EPOCH_GUARD_H_
