// Executor and DrainTicket; public through weakref/dispatch/executor.h, which has the contract's
// long form. Defined here because death itself enqueues.

#ifndef WEAKREF_INTERNAL_DISPATCH_EXECUTOR_H_
#define WEAKREF_INTERNAL_DISPATCH_EXECUTOR_H_

#include <cstddef>
#include <memory>
#include <utility>

#include "weakref/internal/dispatch/dispatch_queue.h"

namespace weakref {

class Executor;
namespace internal {
struct ExecutorAccess;
}  // namespace internal

// The right and the duty to drain an executor's queue once. Move-only.
// Run it on the thread where callbacks shall run. Destroyed unrun, it tells the queue so: nothing
// is lost, the next death wakes again.
class DrainTicket {
 public:
  DrainTicket(DrainTicket&&) noexcept = default;
  DrainTicket& operator=(DrainTicket&& other) noexcept {
    if (this != &other) {
      Lose();
      queue_ = std::move(other.queue_);
    }
    return *this;
  }
  ~DrainTicket() { Lose(); }

  // Runs what is queued, one at a time. A second call does nothing. Never throws: exceptions of
  // callbacks go to the handler (weakref/expiry_callback.h).
  void Run() noexcept {
    if (auto queue = std::move(queue_)) queue->Drain();
  }
  void operator()() noexcept { Run(); }

 private:
  friend struct internal::ExecutorAccess;
  using Queue = internal::DispatchQueue<internal::RealSync>;
  explicit DrainTicket(std::shared_ptr<Queue> queue) : queue_(std::move(queue)) {}
  void Lose() {
    if (auto queue = std::move(queue_)) queue->WakeLost();
  }
  std::shared_ptr<Queue> queue_;
};

// Where callbacks run. One operation: see that `ticket` is run, once, somewhere, soon.
class Executor {
 public:
  Executor() : queue_(std::make_shared<internal::DispatchQueue<internal::RealSync>>()) {}
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  // What is still queued when the last owner leaves runs in the thread that destroys the queue.
  virtual ~Executor() = default;

  // May throw, or drop the ticket: then what is queued waits for the next wake or for Drain().
  // Called by the thread in which an object died, under no lock of the library's.
  virtual void Wake(DrainTicket&& ticket) = 0;

  // Runs what is queued, in this thread. Returns how many callbacks it ran.
  size_t Drain() { return queue_ == nullptr ? 0 : queue_->Drain(); }
  // Callbacks that wait to be run; stale at once.
  size_t ApproxPending() const { return queue_ == nullptr ? 0 : queue_->size(); }
  // Wakes that ended without a drain: Wake threw, or the ticket was destroyed unrun.
  uint64_t LostWakes() const { return queue_ == nullptr ? 0 : queue_->lost_wakes(); }

 protected:
  struct RunInline {};
  // An executor that runs callbacks where the object dies; it has no queue and is never woken.
  explicit Executor(RunInline) {}

 private:
  friend struct internal::ExecutorAccess;
  std::shared_ptr<internal::DispatchQueue<internal::RealSync>> queue_;  // null: inline
};

namespace internal {

struct ExecutorAccess {
  static bool IsInline(const Executor& executor) { return executor.queue_ == nullptr; }

  // Queues `item` and wakes the executor if need be. Never throws, allocates nothing itself.
  static void Submit(Executor& executor, DispatchItem<RealSync>* item) noexcept {
    const std::shared_ptr<internal::DispatchQueue<internal::RealSync>> queue =
        executor.queue_;  // outlives the executor
    if (!queue->Enqueue(item)) return;
    try {
      executor.Wake(DrainTicket(queue));
    } catch (...) {
      // The ticket was destroyed unrun and has been counted (LostWakes); the item stays queued.
    }
  }
};

}  // namespace internal
}  // namespace weakref

#endif  // WEAKREF_INTERNAL_DISPATCH_EXECUTOR_H_
