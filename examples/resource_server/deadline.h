#ifndef EXAMPLES_RESOURCE_SERVER_DEADLINE_H_
#define EXAMPLES_RESOURCE_SERVER_DEADLINE_H_

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/wait_traits.hpp>
#include <boost/system/error_code.hpp>
#include <functional>
#include <memory>
#include <utility>

#include "examples/resource_server/freshness.h"

namespace resource_server {

// A deadline that is moved with every request and hardly ever passes. Moving it is a store: the
// timer behind it is left alone until it fires, and then waits for what the deadline is by then.
//
// Beast's tcp_stream has timeouts of its own, but closes the socket when one passes, and a client
// that is slow with its header is owed a 408.
//
// Thread safety: none; use it and let it expire on one strand.
template <class Executor>
class Deadline {
 public:
  // `owner` is what this object is a member of, or will be destroyed with. `expired` runs on
  // `executor` with the owner kept alive.
  Deadline(const Executor& executor, std::function<void()> expired)
      : timer_(executor), expired_(std::move(expired)) {}

  void Arm(Clock::duration timeout, std::weak_ptr<void> owner) {
    due_ = Clock::now() + timeout;
    if (due_ < fires_) Wait(std::move(owner));
  }

  void Disarm() { due_ = Clock::time_point::max(); }

  // Disarms, and lets go of the timer at once.
  void Cancel() {
    Disarm();
    timer_.cancel();
  }

 private:
  void Wait(std::weak_ptr<void> owner) {
    fires_ = due_;
    timer_.expires_at(due_);
    timer_.async_wait([this, owner = std::move(owner)](boost::system::error_code error) mutable {
      // Without an owner `this` is gone; with an error the timer was set anew, or given up.
      const std::shared_ptr<void> alive = owner.lock();
      if (alive == nullptr || error) return;
      fires_ = Clock::time_point::max();
      if (due_ == Clock::time_point::max()) return;
      if (Clock::now() < due_) {
        Wait(std::move(owner));
      } else {
        Disarm();
        expired_();
      }
    });
  }

  boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>, Executor> timer_;
  std::function<void()> expired_;
  Clock::time_point due_ = Clock::time_point::max();
  // When the timer fires; max() when nobody waits for it.
  Clock::time_point fires_ = Clock::time_point::max();
};

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_DEADLINE_H_
