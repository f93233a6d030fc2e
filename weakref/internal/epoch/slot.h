// A thread's place in the epoch domain; see domain.h for the protocol.

#ifndef WEAKREF_INTERNAL_EPOCH_SLOT_H_
#define WEAKREF_INTERNAL_EPOCH_SLOT_H_

#include <atomic>
#include <cstdint>

#include "weakref/internal/sync.h"

namespace weakref::internal::epoch {

template <class Sync>
class alignas(64) Slot {
 public:
  static constexpr uint64_t kInside = 1;
  static constexpr uint64_t kExchanged = 2;  // the last entry was an exchange, or there is no owner
  static constexpr uint64_t kTick = 4;

  // ---- the owner's ----

  bool inside() const {
    // relaxed: the own slot.
    return (ticks_.load(std::memory_order_relaxed) & kInside) != 0;
  }

  // False if the thread is inside already.
  bool TryEnterAsymmetric() {
    // relaxed: the own slot.
    const uint64_t ticks = ticks_.load(std::memory_order_relaxed);
    if ((ticks & kInside) != 0) [[unlikely]]
      return false;
    // An owned slot has kExchanged only after an exchange, and there is no way back from those.
    // [enter.release] pairs with [noted.acquire], [left.acquire]; carries the reads of earlier
    // stays to a reclaimer that sees only this tick; breaks EpochModel.ReaderKeepsWhatItFound.
    ticks_.store(ticks | kInside, std::memory_order_release);
    Sync::LightBarrier();
    return true;
  }

  void EnterExchanging() {
    // [enter.acq_rel] pairs with [noted.acq_rel], [left.acquire]; carries unlinks from before the
    // reclaimer's note to this stay, and this tick to a reclaimer that notes later; breaks
    // EpochModel.ExchangedReaderKeepsWhatItFound.
    ticks_.fetch_or(kInside | kExchanged, std::memory_order_acq_rel);
  }

  // REQUIRES: TryEnterAsymmetric() began the stay.
  void LeaveAsymmetric() {
    // relaxed: the own slot.
    const uint64_t ticks = ticks_.load(std::memory_order_relaxed);
    // [leave.release] pairs with [noted.acquire], [left.acquire]; carries the reads of this stay
    // to the reclaimer, who frees what was read; breaks EpochModel.ReaderKeepsWhatItFound.
    ticks_.store(ticks + (kTick - kInside), std::memory_order_release);
  }

  void Leave() {
    // relaxed: the own slot.
    if ((ticks_.load(std::memory_order_relaxed) & kExchanged) == 0) {
      LeaveAsymmetric();
    } else {
      // [leave-exchanged.release] pairs with [noted.acq_rel], [left.acquire]; as above, and
      // carries the note on to the next entry; breaks EpochModel.ExchangedReaderKeepsWhatItFound.
      ticks_.fetch_add(kTick - kInside, std::memory_order_release);
    }
  }

  // ---- changing hands ----

  bool TryAcquire() {
    // relaxed: a slot in use is passed over without a write.
    if (used_.load(std::memory_order_relaxed) != 0) return false;
    // [slot-owner.acquire] pairs with [slot-owner.release]; carries the former owner's plain fields
    // to the next; breaks EpochModel.SlotChangesHands.
    if (used_.exchange(1, std::memory_order_acquire) != 0) return false;
    // [slot-taken.acq_rel] pairs with [noted.acq_rel], [left.acquire]; carries a switch of mode
    // from a reclaimer that noted the slot while it was free; breaks
    // EpochModel.SlotTakenDuringSwitch.
    ticks_.fetch_and(~kExchanged, std::memory_order_acq_rel);
    return true;
  }

  void Release() {
    // [slot-freed.acq_rel] pairs with [noted.acq_rel], [left.acquire]; carries this owner's reads
    // to the reclaimer; breaks EpochModel.SlotChangesHands.
    ticks_.fetch_or(kExchanged, std::memory_order_acq_rel);
    // [slot-owner.release] pairs with [slot-owner.acquire]; carries this owner's plain fields to
    // the next; breaks EpochModel.SlotChangesHands.
    used_.store(0, std::memory_order_release);
  }

  // In the child of a fork, for a thread that does not exist there.
  void Forget() {
    ticks_.store(kExchanged, std::memory_order_relaxed);  // relaxed: one thread
    used_.store(0, std::memory_order_relaxed);            // relaxed: one thread
  }

  // ---- the reclaimer's ----

  void Note(bool exchanging) {
    if (exchanging) {
      // [noted.acq_rel] pairs with [enter.acq_rel], [leave-exchanged.release],
      // [slot-taken.acq_rel], [slot-freed.acq_rel]; carries unlinks to whoever enters after it;
      // breaks EpochModel.ExchangedReaderKeepsWhatItFound.
      noted_ = ticks_.fetch_add(0, std::memory_order_acq_rel);
    } else {
      // [noted.acquire] pairs with [enter.release], [leave.release]; carries the reads of stays
      // that have ended; the heavy barrier before it did the rest; breaks
      // EpochModel.ReaderKeepsWhatItFound.
      noted_ = ticks_.load(std::memory_order_acquire);
    }
  }

  // Whether the stay that was noted, if any, has ended.
  bool HasLeft(bool exchanging) {
    if (exchanging && (noted_ & kExchanged) == 0) Note(true);
    if (exchanging && (noted_ & kExchanged) == 0) return false;
    if ((noted_ & kInside) == 0) return true;
    // [left.acquire] pairs with [enter.release], [leave.release], [enter.acq_rel],
    // [leave-exchanged.release], [slot-taken.acq_rel], [slot-freed.acq_rel]; carries the reads of
    // the stay to the reclaimer; breaks EpochModel.ReaderKeepsWhatItFound.
    return ticks_.load(std::memory_order_acquire) != noted_;
  }

  // Set before the slot is published.
  Slot* next = nullptr;
  uint32_t index = 0;
  // The owner's: what it retired since it last told the domain.
  uint32_t retired_items = 0;
  uint32_t retired_bytes = 0;

 private:
  typename Sync::template Atomic<uint64_t> ticks_{kExchanged};
  typename Sync::template Atomic<uint32_t> used_{0};
  uint64_t noted_ = 0;
};

}  // namespace weakref::internal::epoch

#endif  // WEAKREF_INTERNAL_EPOCH_SLOT_H_
