// Hits and misses, counted without a shared write: a line for each of the first threads, which only
// that thread writes; later threads share one and pay for a read-modify-write.

#ifndef WEAKREF_CACHE_INTERNAL_LOOKUP_COUNTERS_H_
#define WEAKREF_CACHE_INTERNAL_LOOKUP_COUNTERS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "weakref/internal/epoch/slot.h"

namespace weakref::internal {

template <class Sync>
class LookupCounters {
 public:
  static constexpr size_t kStripes = 64;

  // `slot` is the calling thread's, which it owns for the duration of the call; null: none.
  void Count(const epoch::Slot<Sync>* slot, bool hit) {
    if (slot != nullptr && slot->index < kStripes) [[likely]] {
      auto& counter = stripes_[slot->index].counters[hit ? 1 : 0];
      // relaxed: this thread's own, read as a statistic; a slot changes hands by acquire/release.
      counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    } else {
      // relaxed: a statistic.
      shared_.counters[hit ? 1 : 0].fetch_add(1, std::memory_order_relaxed);
    }
  }

  void Read(uint64_t* hits, uint64_t* misses) const {
    *hits = *misses = 0;
    auto add = [&](const Stripe& stripe) {
      *misses += stripe.counters[0].load(std::memory_order_relaxed);  // relaxed: a statistic
      *hits += stripe.counters[1].load(std::memory_order_relaxed);    // relaxed: a statistic
    };
    for (const Stripe& stripe : stripes_) add(stripe);
    add(shared_);
  }

 private:
  struct alignas(64) Stripe {
    typename Sync::template Atomic<uint64_t> counters[2]{};
  };
  Stripe stripes_[kStripes];
  Stripe shared_;
};

}  // namespace weakref::internal

#endif  // WEAKREF_CACHE_INTERNAL_LOOKUP_COUNTERS_H_
