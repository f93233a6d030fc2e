#ifndef EXAMPLES_RESOURCE_SERVER_METRICS_H_
#define EXAMPLES_RESOURCE_SERVER_METRICS_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace resource_server {

// All numbers here are independent statistics: they are changed and read relaxed, nothing is
// published with them, and a scrape may see one a moment before another.

class Counter {
 public:
  void Increment(uint64_t by = 1) { value_.fetch_add(by, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void Increment() { value_.fetch_add(1, std::memory_order_relaxed); }
  void Decrement() { value_.fetch_sub(1, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// A histogram of durations with fixed buckets, from half a millisecond (a small file in the page
// cache) to ten seconds (a disk in trouble).
class LatencyHistogram {
 public:
  static constexpr auto kUpperBoundsSeconds = std::to_array<double>(
      {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10});

  void Observe(std::chrono::nanoseconds duration);
  void Append(std::string& text, std::string_view name, std::string_view help) const;

 private:
  // One more than there are bounds, for what is above the last.
  std::array<std::atomic<uint64_t>, kUpperBoundsSeconds.size() + 1> buckets_ = {};
  std::atomic<uint64_t> sum_ns_{0};
};

// What the server counts besides the library's own statistics. Thread safety: everything may be
// used concurrently.
struct Metrics {
  // Answered requests by status code.
  void CountResponse(unsigned status);

  // Prometheus' text format.
  void Append(std::string& text) const;

  Gauge connections;
  Gauge requests_in_flight;
  Counter connections_accepted;
  Counter timeouts;
  Counter body_bytes;
  Counter stale_resources;
  LatencyHistogram load_duration;

 private:
  std::array<Counter, 600> responses_;
};

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_METRICS_H_
