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
  [[gnu::always_inline]] Guard() {
    slot_ = Sync::template Local<ThreadSlot<Sync>>().slot;
    if (slot_ != nullptr && domain().asymmetric() && slot_->TryEnterAsymmetric()) [[likely]] {
      stay_ = Stay::kAsymmetric;
    } else {
      EnterSlowly();
    }
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  [[gnu::always_inline]] ~Guard() { Leave(); }

  // Leaves early; the destructor then does nothing.
  [[gnu::always_inline]] void Leave() {
    if (stay_ == Stay::kAsymmetric) [[likely]] {
      slot_->LeaveAsymmetric();
    } else {
      LeaveSlowly();
    }
    stay_ = Stay::kNone;
  }

  // A small number that no other thread inside a guard has; null slot: none.
  const Slot<Sync>* slot() const { return slot_; }

 private:
  enum class Stay : uint8_t {
    kAsymmetric,
    kExchanging,
    kTransient,  // a slot for this guard alone: the thread is exiting
    kShared,     // no slot could be had
    kNone,       // an outer guard is there, or left
  };

  static Domain<Sync>& domain() { return global_domain<Sync>; }

  [[gnu::noinline]] void EnterSlowly() {
    auto& thread = Sync::template Local<ThreadSlot<Sync>>();
    if (slot_ == nullptr) slot_ = FirstSlot(thread);
    if (slot_ == nullptr) {
      domain().EnterShared();
      stay_ = Stay::kShared;
    } else if (slot_->inside()) {
      stay_ = Stay::kNone;
    } else {
      domain().Enter(slot_);
      stay_ = slot_ == thread.slot ? Stay::kExchanging : Stay::kTransient;
    }
  }
  [[gnu::noinline]] void LeaveSlowly() {
    if (stay_ == Stay::kNone) return;
    if (stay_ == Stay::kShared) return domain().LeaveShared();
    domain().Leave(slot_);
    if (stay_ == Stay::kTransient) domain().ReleaseSlot(slot_);
  }

  Slot<Sync>* slot_;
  Stay stay_;
};

// The Guard of a path that may give up: enters only the common way (this thread has a slot, is not
// inside, the barrier is asymmetric), and calls nothing, so that the path around it needs no frame.
template <class Sync>
class QuickGuard {
 public:
  [[gnu::always_inline]] QuickGuard() {
    slot_ = Sync::template Local<ThreadSlot<Sync>>().slot;
    entered_ = slot_ != nullptr && global_domain<Sync>.asymmetric() && slot_->TryEnterAsymmetric();
  }
  QuickGuard(const QuickGuard&) = delete;
  QuickGuard& operator=(const QuickGuard&) = delete;
  [[gnu::always_inline]] ~QuickGuard() {
    if (entered_) [[likely]]
      slot_->LeaveAsymmetric();
  }

  bool entered() const { return entered_; }
  const Slot<Sync>* slot() const { return slot_; }  // if entered

 private:
  Slot<Sync>* slot_;
  bool entered_;
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
