#ifndef EXAMPLES_RESOURCE_SERVER_FRESHNESS_H_
#define EXAMPLES_RESOURCE_SERVER_FRESHNESS_H_

#include <atomic>
#include <chrono>

namespace resource_server {

using Clock = std::chrono::steady_clock;

// When a cached resource was last known to agree with its file, and whether somebody is looking.
//
// Thread safety: all functions may run concurrently.
class Freshness {
 public:
  // `checked`: a moment at which the resource agreed with its file.
  explicit Freshness(Clock::time_point checked) : checked_(checked) {}

  // Only while nobody else uses either: a resource moves on its way into the cache, not after.
  Freshness(Freshness&& other) noexcept
      : checked_(other.checked_.load(std::memory_order_relaxed)),
        checking_(other.checking_.load(std::memory_order_relaxed)) {}

  // True if a request that arrived at `arrival` may be answered without looking at the file.
  bool Covers(Clock::time_point arrival, Clock::duration tolerance) const {
    // Relaxed: a moment, nothing is published with it. A late view of it costs a needless check.
    return checked_.load(std::memory_order_relaxed) >= arrival - tolerance;
  }

  // True for one caller at a time, who must look at the file; until EndCheck the others get false
  // and use what they have, so that a slow disk delays one request and not all.
  bool TryBeginCheck() {
    // Relaxed: elects one caller by atomicity alone; who is elected reads nothing of the last
    // one's.
    return !checking_.exchange(true, std::memory_order_relaxed);
  }

  // The resource still agreed with its file at `checked`. Without this call (it did not agree) the
  // resource is never checked again: it is about to be replaced.
  void EndCheck(Clock::time_point checked) {
    // Relaxed, both: see above.
    checked_.store(checked, std::memory_order_relaxed);
    checking_.store(false, std::memory_order_relaxed);
  }

 private:
  std::atomic<Clock::time_point> checked_;
  std::atomic<bool> checking_{false};
};

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_FRESHNESS_H_
