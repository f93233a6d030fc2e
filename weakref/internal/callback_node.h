// One registered callback: a death node that user code can cancel.
//
//   ARMED --Start--> RUNNING --Finish--> DONE          the closer, or the executor's thread
//     |                 `--Await--> AWAITED --Finish--> DONE   a canceller waits
//     `--Cancel--> CANCELLED                           the registration
//
// Whoever wins the edge out of ARMED owns the callable and the token and gives both up: so a queued
// callback can be cancelled until the moment it starts, and is destroyed exactly once.
// Two owners, the list (later the executor's queue) and the registration; the last one frees.

#ifndef WEAKREF_INTERNAL_CALLBACK_NODE_H_
#define WEAKREF_INTERNAL_CALLBACK_NODE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "weakref/internal/death_node.h"
#include "weakref/internal/dispatch/dispatch_queue.h"

namespace weakref::internal {

// Derived gives:
//   void Invoke()                     runs the callable; may throw
//   void Release() noexcept           destroys the callable, drops the block's token
//   Block* block()                    valid while ARMED or RUNNING
//   static void Dispatch(Derived*) noexcept   after the object's death: Run() here or queue for it
//   static void ReportException() noexcept    called inside a catch block
template <class Sync, class Derived>
class CallbackNode : public DeathNode<Sync>, public DispatchItem<Sync> {
 public:
  enum class State : uint32_t { kArmed, kRunning, kAwaited, kDone, kCancelled };

  // Created with two owners.
  CallbackNode() : DeathNode<Sync>(&kOps), DispatchItem<Sync>(&RunItem) {}

  // Called once by whoever holds the list's share, which it takes.
  void Run() noexcept {
    // relaxed: published by the edge to RUNNING.
    runner_.store(Sync::ThreadId(), std::memory_order_relaxed);
    State expected = State::kArmed;
    // [start.acq_rel] pairs with [cancel.acq_rel], [cancel-failed.acquire], [await.acq_rel],
    // [node-state.acquire]; carries runner_ to the canceller; breaks
    // CallbackModel.CancelFromOtherThreadWaits.
    if (state_.compare_exchange_strong(expected, State::kRunning, std::memory_order_acq_rel,
                                       // relaxed: cancelled, nothing left to touch
                                       std::memory_order_relaxed)) {
      try {
        self()->Invoke();
      } catch (...) {
        Derived::ReportException();
      }
      self()->Release();
      // [finish.acq_rel] pairs with [await.acq_rel], [await-failed.acquire],
      // [cancel-failed.acquire], [node-state.acquire]; carries the callback's effects to whoever
      // cancels after it; breaks CallbackModel.CancelledCallbackHasFinished.
      if (state_.exchange(State::kDone, std::memory_order_acq_rel) == State::kAwaited) {
        finished_.Notify();
      }
    }
    DropShare();
  }

  // Cancels if it has not started. Otherwise waits until it has finished, unless this thread runs
  // it right now. Returns whether it was cancelled. The caller keeps its share.
  bool Cancel() {
    State state = TryCancel();
    if (state == State::kArmed) return true;
    if (state != State::kRunning || RunsHere()) return false;
    // [await.acq_rel] pairs with [finish.acq_rel], [start.acq_rel]; carries the callback's effects
    // to the canceller, or the wish to be woken to the runner; breaks
    // CallbackModel.CancelFromOtherThreadWaits.
    if (state_.compare_exchange_strong(state, State::kAwaited, std::memory_order_acq_rel,
                                       // [await-failed.acquire] pairs with [finish.acq_rel];
                                       // carries the callback's effects to the canceller; breaks
                                       // CallbackModel.CancelledCallbackHasFinished.
                                       std::memory_order_acquire)) {
      finished_.Wait();
    }
    return false;
  }

  // One try to cancel, without waiting. Returns the state it found: kArmed means cancelled.
  State TryCancel() {
    State state = State::kArmed;
    // [cancel.acq_rel] pairs with [start.acq_rel], [node-state.acquire]; carries the registration's
    // last use of the callable to whoever sees it cancelled; breaks CallbackModel.CancelOrRunOnce.
    if (state_.compare_exchange_strong(state, State::kCancelled, std::memory_order_acq_rel,
                                       // [cancel-failed.acquire] pairs with [finish.acq_rel],
                                       // [start.acq_rel]; carries runner_, or the callback's
                                       // effects, to the canceller; breaks
                                       // CallbackModel.CancelledCallbackHasFinished.
                                       std::memory_order_acquire)) {
      self()->CountCancelled();
      self()->Release();
      return State::kArmed;
    }
    return state;
  }

  // Requires that TryCancel() returned kRunning.
  bool RunsHere() const {
    // relaxed: acquired with the state.
    return runner_.load(std::memory_order_relaxed) == Sync::ThreadId();
  }

  State state() const {
    // [node-state.acquire] pairs with [start.acq_rel], [cancel.acq_rel], [finish.acq_rel]; carries
    // the end of the callable's use to a sweeper that drops the node; breaks
    // CallbackModel.SweepKeepsLiveNodes.
    return state_.load(std::memory_order_acquire);
  }

  // Gives up one share; the second one frees.
  void DropShare() {
    // [node-share.acq_rel] pairs with itself; carries one owner's accesses to the other, who frees;
    // breaks CallbackModel.NodeFreedOnce.
    if (shares_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete self();
  }

 protected:
  ~CallbackNode() = default;

 private:
  Derived* self() { return static_cast<Derived*>(this); }
  static Derived* Self(DeathNode<Sync>* node) { return static_cast<Derived*>(node); }

  static void RunItem(DispatchItem<Sync>* item) noexcept { static_cast<Derived*>(item)->Run(); }
  static bool IsCancelled(const DeathNode<Sync>* node) noexcept {
    return static_cast<const Derived*>(node)->state() == State::kCancelled;
  }

  static constexpr typename DeathNode<Sync>::Ops kOps = {
      .on_closed = nullptr,
      .on_destroyed = [](DeathNode<Sync>* node) noexcept { Derived::Dispatch(Self(node)); },
      .is_cancelled = &IsCancelled,
      .drop = [](DeathNode<Sync>* node) noexcept { Self(node)->DropShare(); },
  };

  typename Sync::template Atomic<State> state_{State::kArmed};
  typename Sync::template Atomic<uint32_t> shares_{2};
  typename Sync::template Atomic<const void*> runner_{nullptr};
  typename Sync::Event finished_;
};

}  // namespace weakref::internal

#endif  // WEAKREF_INTERNAL_CALLBACK_NODE_H_
