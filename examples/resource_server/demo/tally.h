#ifndef EXAMPLES_RESOURCE_SERVER_DEMO_TALLY_H_
#define EXAMPLES_RESOURCE_SERVER_DEMO_TALLY_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace resource_server::demo {

// What all clients together have seen. Thread safety: all functions may run concurrently; the
// numbers are independent statistics, read and written relaxed.
class Tally {
 public:
  // A response that was all it should be.
  void Verified(std::chrono::nanoseconds latency, size_t body_bytes);

  // A response with other bytes, another length or another tag than it should have.
  void Mismatch(std::string_view what);

  // A request that was lost or answered with the wrong status.
  void Failure(std::string_view what);

  uint64_t verified() const { return verified_.load(std::memory_order_relaxed); }
  uint64_t mismatches() const { return mismatches_.load(std::memory_order_relaxed); }
  uint64_t failures() const { return failures_.load(std::memory_order_relaxed); }
  uint64_t body_bytes() const { return body_bytes_.load(std::memory_order_relaxed); }

  // A latency that the given part (0.99) of all verified responses did not exceed; at most a
  // sixteenth too high.
  std::chrono::microseconds LatencyQuantile(double quantile) const;

  // The first mismatches and failures, in words.
  std::vector<std::string> Complaints() const;

 private:
  // Buckets of microseconds: exact below 32, then sixteen to each power of two.
  static constexpr size_t kSteps = 16;
  static constexpr size_t kBuckets = 40 * kSteps;
  static size_t BucketOf(uint64_t micros);
  static uint64_t UpperBound(size_t bucket);

  void Complain(std::string_view what);

  std::atomic<uint64_t> verified_{0};
  std::atomic<uint64_t> mismatches_{0};
  std::atomic<uint64_t> failures_{0};
  std::atomic<uint64_t> body_bytes_{0};
  std::array<std::atomic<uint64_t>, kBuckets> latencies_ = {};
  mutable absl::Mutex mutex_;
  std::vector<std::string> complaints_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace resource_server::demo

#endif  // EXAMPLES_RESOURCE_SERVER_DEMO_TALLY_H_
