// An executor that runs nothing by itself: the test decides what becomes of each ticket.

#ifndef WEAKREF_TESTS_SUPPORT_MANUAL_EXECUTOR_H_
#define WEAKREF_TESTS_SUPPORT_MANUAL_EXECUTOR_H_

#include <cstddef>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "weakref/dispatch/executor.h"

namespace weakref::support {

class ManualExecutor final : public Executor {
 public:
  enum class OnWake { kStore, kDrop, kThrow };

  explicit ManualExecutor(OnWake on_wake = OnWake::kStore) : on_wake_(on_wake) {}

  void Wake(DrainTicket&& ticket) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++wakes_;
    if (on_wake_ == OnWake::kStore) tickets_.push_back(std::move(ticket));
    if (on_wake_ == OnWake::kThrow) throw std::runtime_error("no wake");
  }

  void SetOnWake(OnWake on_wake) {
    const std::lock_guard<std::mutex> lock(mutex_);
    on_wake_ = on_wake;
  }

  size_t wakes() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return wakes_;
  }

  // Gives the stored tickets to the caller.
  std::vector<DrainTicket> TakeTickets() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(tickets_, {});
  }

  // Runs the stored tickets in this thread, and those that come while it does.
  void RunTickets() {
    for (std::vector<DrainTicket> tickets = TakeTickets(); !tickets.empty();
         tickets = TakeTickets()) {
      for (DrainTicket& ticket : tickets) ticket.Run();
    }
  }

 private:
  mutable std::mutex mutex_;
  OnWake on_wake_;
  size_t wakes_ = 0;
  std::vector<DrainTicket> tickets_;
};

}  // namespace weakref::support

#endif  // WEAKREF_TESTS_SUPPORT_MANUAL_EXECUTOR_H_
