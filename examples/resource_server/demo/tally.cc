#include "examples/resource_server/demo/tally.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace resource_server::demo {
namespace {

constexpr size_t kKeptComplaints = 10;

}  // namespace

size_t Tally::BucketOf(uint64_t micros) {
  if (micros < 2 * kSteps) return micros;
  // The leading bit chooses the power of two, the four bits behind it the step.
  const auto power = static_cast<size_t>(std::bit_width(micros)) - 5;
  const size_t step = micros >> power;  // from kSteps to 2 * kSteps - 1
  return std::min(power * kSteps + step, kBuckets - 1);
}

uint64_t Tally::UpperBound(size_t bucket) {
  if (bucket < 2 * kSteps) return bucket;
  const size_t power = bucket / kSteps - 1;
  const uint64_t step = bucket % kSteps + kSteps;
  return ((step + 1) << power) - 1;
}

void Tally::Verified(std::chrono::nanoseconds latency, size_t body_bytes) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(latency).count();
  latencies_[BucketOf(static_cast<uint64_t>(std::max<int64_t>(micros, 0)))].fetch_add(
      1, std::memory_order_relaxed);
  body_bytes_.fetch_add(body_bytes, std::memory_order_relaxed);
  verified_.fetch_add(1, std::memory_order_relaxed);
}

void Tally::Mismatch(std::string_view what) {
  mismatches_.fetch_add(1, std::memory_order_relaxed);
  Complain(what);
}

void Tally::Failure(std::string_view what) {
  failures_.fetch_add(1, std::memory_order_relaxed);
  Complain(what);
}

void Tally::Complain(std::string_view what) {
  absl::MutexLock lock(&mutex_);
  if (complaints_.size() < kKeptComplaints) complaints_.emplace_back(what);
}

std::chrono::microseconds Tally::LatencyQuantile(double quantile) const {
  uint64_t total = 0;
  for (const auto& bucket : latencies_) total += bucket.load(std::memory_order_relaxed);
  const auto wanted = static_cast<uint64_t>(std::ceil(static_cast<double>(total) * quantile));
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += latencies_[i].load(std::memory_order_relaxed);
    if (seen >= wanted && seen > 0) return std::chrono::microseconds(UpperBound(i));
  }
  return {};
}

std::vector<std::string> Tally::Complaints() const {
  absl::MutexLock lock(&mutex_);
  return complaints_;
}

}  // namespace resource_server::demo
