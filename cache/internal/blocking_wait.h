// The blocking front's side of a load: a waiter with a latch, and the loads a thread runs.

#ifndef WEAKREF_CACHE_INTERNAL_BLOCKING_WAIT_H_
#define WEAKREF_CACHE_INTERNAL_BLOCKING_WAIT_H_

#include <cstdint>
#include <optional>
#include <stop_token>
#include <utility>

#include "cache/internal/load_record.h"
#include "cache/internal/wait_graph.h"
#include "cache/internal/wait_options.h"

namespace weakref::internal {

// How many loads this thread is running, nested.
template <class Sync>
struct RunningLoads {
  uint32_t depth;

  class Scope {
   public:
    Scope() { ++Sync::template Local<RunningLoads>().depth; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() { --Sync::template Local<RunningLoads>().depth; }
  };
};

inline LoadFailure RecursionFailure() {
  return {absl::FailedPreconditionError("recursive load: a loader asked for the key that it loads"),
          nullptr};
}
inline LoadFailure CircleFailure() {
  return {absl::FailedPreconditionError(
              "cycle of loads: this load would wait for a load that waits for this one"),
          nullptr};
}
inline LoadFailure ClosedFailure() {
  return {absl::CancelledError("the cache has ended"), nullptr};
}

template <class Sync>
class BlockingWaiter final : public Waiter<Sync> {
 public:
  BlockingWaiter() : runs_load_(Sync::template Local<RunningLoads<Sync>>().depth != 0) {}

  void Succeed(Found<Sync> found) noexcept override {
    found_ = found;
    Finish();
  }
  void Fail(const LoadFailure& failure) noexcept override {
    failure_ = failure;
    Finish();
  }

  // REQUIRES: listed with a load. `leave()` is Core::Leave for this waiter. Blocks until the load
  // ends, or the wait does. Afterwards found() or failure() says how.
  template <class Leave>
  void Wait(const WaitOptions& options, Leave&& leave) {
    if (runs_load_ && this->leader() != nullptr &&
        WaitGraph<Sync>::Global().Add(Sync::ThreadId(), this->leader(), &over_) ==
            WaitGraph<Sync>::Added::kCircle) {
      GiveUp(leave, CircleFailure());
      return;
    }
    std::optional<std::stop_callback<StopFn<Leave>>> on_stop;
    if (options.stop.stop_possible()) on_stop.emplace(options.stop, StopFn<Leave>{this, &leave});
    if (!event_.WaitUntil(options.deadline)) {
      GiveUp(leave, {absl::DeadlineExceededError("the wait for another caller's load timed out"),
                     nullptr});
    }
  }

  const Found<Sync>& found() const { return found_; }
  const LoadFailure& failure() const { return failure_; }

 private:
  template <class Leave>
  struct StopFn {
    BlockingWaiter* waiter;
    Leave* leave;
    void operator()() const {
      if (waiter->runs_load_) waiter->RemoveEdge();
      if ((*leave)()) {
        waiter->Fail(
            {absl::CancelledError("the wait for another caller's load was stopped"), nullptr});
      }
    }
  };

  // Leaves the load, unless its result is on its way: then that is taken.
  template <class Leave>
  void GiveUp(Leave& leave, LoadFailure failure) {
    if (runs_load_) RemoveEdge();
    if (leave()) {
      failure_ = std::move(failure);
    } else {
      event_.Wait();
    }
  }

  void RemoveEdge() {
    bool ignored = false;
    WaitGraph<Sync>::Global().Finish(edge_of_, &ignored);
  }

  void Finish() {
    if (runs_load_) WaitGraph<Sync>::Global().Finish(edge_of_, &over_);
    event_.Notify();  // the waiter may be gone after this
  }

  const bool runs_load_;
  const void* const edge_of_ = Sync::ThreadId();
  bool over_ = false;  // guarded by the graph
  Found<Sync> found_;
  LoadFailure failure_;
  typename Sync::Event event_;
};

}  // namespace weakref::internal

#endif  // WEAKREF_CACHE_INTERNAL_BLOCKING_WAIT_H_
