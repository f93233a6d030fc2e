// Epoch reclamation: when may memory that readers find without a lock be given back?
//
// A reader is inside while it holds a Guard (guard.h). What is unlinked and then retired is given
// back once every reader that was inside at that time has left.
//
//   slot.ticks   | count ... | 1: EXCHANGED | 0: INSIDE |   one slot per thread
//
// Grace period, by one thread at a time (the others go on without it):
//   1. take what is retired, as one batch
//   2. heavy barrier: a reader whose tick is not visible by now will not see what was unlinked
//   3. note every slot's ticks; those that are outside are done with
//   4. when each noted stay has ended, give the batch back; if not yet, look again next time
// Nobody waits: a reader that sleeps inside delays memory, not threads.
//
// Two ways to enter:
//   asymmetric  store to the own slot, light barrier; the reclaimer issues the heavy barrier
//   exchanging  RMWs on the own slot, noted by the reclaimer with an RMW: whichever comes first in
//               the slot's modification order, the other sees what went before it. (A seq_cst store
//               followed by acquire loads of the table would not do.) Leaving is an RMW as well:
//               a plain store would cut the release sequence from the reclaimer to the next entry.
// The second is for kernels without membarrier, and for ThreadSanitizer. When a heavy barrier
// fails, nothing is freed and the domain switches for good. A slot that has not been entered by
// exchange since its thread took it then blocks reclamation until it is, or until its thread exits:
// memory is late, never freed early. (Taking a slot is an RMW too: so a thread whose slot was noted
// before it was taken cannot have missed the switch.)
//
// Retired blocks are linked through their link word, in stripes that belong to the domain, not to
// threads: nothing is handed over when a thread exits. A retired block still has two tokens, its
// table's and the implicit one, which are dropped after the grace period.

#ifndef WEAKREF_INTERNAL_EPOCH_DOMAIN_H_
#define WEAKREF_INTERNAL_EPOCH_DOMAIN_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "weakref/internal/control_block.h"
#include "weakref/internal/epoch/slot.h"
#include "weakref/internal/sync.h"

namespace weakref::internal::epoch {

template <class Sync>
class Domain {
 public:
  using Block = BasicControlBlock<Sync>;
  using Slot = epoch::Slot<Sync>;

  // How much is retired before somebody pays for a barrier. A barrier costs 10 to 34 us with busy
  // threads: at 4096 items, some nanoseconds an item.
  static constexpr uint32_t kItemsPerBatch = 4096;
  static constexpr uint32_t kBytesPerBatch = 4 << 20;
  // A thread tells the domain after so many, so that retiring costs no shared write.
  static constexpr uint32_t kItemsPerReport = 64;
  static constexpr uint32_t kBytesPerReport = kBytesPerBatch / 64;
  static constexpr size_t kStripes = 64;

  constexpr Domain() = default;
  Domain(const Domain&) = delete;
  Domain& operator=(const Domain&) = delete;

  // REQUIRES: no reader has entered yet.
  void UseAsymmetricBarrier() {
    asymmetric_.store(true, std::memory_order_relaxed);  // relaxed: as required
  }

  // ---- readers: wait-free ----

  // Whether entering needs no exchange.
  bool asymmetric() const {
    // relaxed: a stale answer shows in kExchanged.
    return asymmetric_.load(std::memory_order_relaxed);
  }
  // The thread is outside.
  void Enter(Slot* slot) {
    if (asymmetric()) {
      slot->TryEnterAsymmetric();
    } else {
      slot->EnterExchanging();
    }
  }
  void Leave(Slot* slot) { slot->Leave(); }

  // For a reader that could get no slot.
  void EnterShared() {
    // [shared-enter.acq_rel] pairs with [shared-seen.acq_rel]; orders the count before the reads of
    // the table: carries unlinks that came before the reclaimer's look; breaks
    // EpochModel.SharedReaderKeepsWhatItFound.
    shared_readers_.fetch_add(1, std::memory_order_acq_rel);
  }
  void LeaveShared() {
    // [shared-leave.release] pairs with [shared-seen.acq_rel]; carries the reads of this stay to
    // the reclaimer; breaks EpochModel.SharedReaderKeepsWhatItFound.
    shared_readers_.fetch_sub(1, std::memory_order_release);
  }

  // ---- slots ----

  // Returns null when memory is out: then use EnterShared. Lock-free.
  Slot* AcquireSlot() {
    // [slots.acquire] pairs with [slots.acq_rel]; carries a new slot's fields; breaks
    // EpochModel.SlotIsSeenByReclaimer.
    for (Slot* s = slots_.load(std::memory_order_acquire); s != nullptr; s = s->next) {
      if (s->TryAcquire()) return s;
    }
    auto* slot = new (std::nothrow) Slot();
    if (slot == nullptr) return nullptr;
    slot->TryAcquire();  // nobody else knows it
    // relaxed: a number is enough.
    slot->index = slot_count_.fetch_add(1, std::memory_order_relaxed);
    // relaxed: only stored, or compared again.
    Slot* head = slots_.load(std::memory_order_relaxed);
    do {  // another thread published a slot when the exchange fails
      slot->next = head;
      // [slots.acq_rel] pairs with [slots.acquire], [slots-noted.acq_rel]; carries the new slot's
      // fields, and, from a reclaimer that missed it, the unlinks; breaks
      // EpochModel.SlotIsSeenByReclaimer.
    } while (!slots_.compare_exchange_weak(head, slot, std::memory_order_acq_rel,
                                           std::memory_order_relaxed));  // relaxed: compared again
    return slot;
  }

  // The thread is outside and will not use `slot` again.
  void ReleaseSlot(Slot* slot) {
    Report(slot);
    slot->Release();
  }

  // ---- retiring ----

  // Gives up two tokens of `block` after a grace period. The block is unlinked and closed; its link
  // word is the domain's from here on. `stripe` spreads writers: take the shard's number. `slot` is
  // the caller's, or null. Returns true when it is time for TryReclaim(). Lock-free.
  [[nodiscard]] bool Retire(Block* block, size_t stripe, uint32_t bytes, Slot* slot) {
    auto& head = stripes_[stripe % kStripes].head;
    // relaxed: only stored, or compared again.
    Block* old = head.load(std::memory_order_relaxed);
    do {  // another block was retired when the exchange fails
      // relaxed: published by the exchange.
      block->link().store(reinterpret_cast<uintptr_t>(old) | Block::kSentinel,
                          std::memory_order_relaxed);
      // [retire.release] pairs with [retired.acquire]; carries the link, the unlinking and the
      // destructor's accesses to the reclaimer; breaks EpochModel.RetiredAfterUnlink.
    } while (!head.compare_exchange_weak(old, block, std::memory_order_release,
                                         std::memory_order_relaxed));  // relaxed: compared again
    if (slot == nullptr) return AddRetired(1, bytes);
    slot->retired_bytes += bytes;
    if (++slot->retired_items < kItemsPerReport && slot->retired_bytes < kBytesPerReport) {
      return false;
    }
    return Report(slot);
  }

  // One step of reclamation, unless another thread is at it. Never waits for anybody. Call it under
  // no lock and outside of a guard: it runs user code (destructors of keys). Returns whether all
  // that was retired before the call has been given back.
  bool TryReclaim() {
    // [reclaimer.acquire] pairs with [reclaimer.release]; carries the former reclaimer's notes;
    // breaks EpochModel.OneReclaimerAtATime.
    if (reclaiming_.exchange(1, std::memory_order_acquire) != 0) return false;
    Block* first = TakeIfAllLeft();
    Block* second = nullptr;
    if (waiting_ == nullptr) {
      waiting_ = TakeRetired();
      if (waiting_ != nullptr && NoteSlots()) second = TakeIfAllLeft();
    } else if (!noted_) {
      NoteSlots();
    }
    const bool all = waiting_ == nullptr;
    // [reclaimer.release] pairs with [reclaimer.acquire]; carries this reclaimer's notes to the
    // next; breaks EpochModel.OneReclaimerAtATime.
    reclaiming_.store(0, std::memory_order_release);
    FreeChain(first);
    FreeChain(second);
    return all;
  }

  // In the child of a fork: of all threads only the one with `self` is left.
  void ForgetOtherThreads(Slot* self) {
    // relaxed, all here: one thread.
    for (Slot* s = slots_.load(std::memory_order_relaxed); s != nullptr; s = s->next) {
      if (s != self) s->Forget();
    }
    shared_readers_.store(0, std::memory_order_relaxed);  // relaxed: as above
    reclaiming_.store(0, std::memory_order_relaxed);      // relaxed: as above
  }

  // Retirements that no batch has taken yet, as far as threads have told; a statistic.
  uint64_t ApproxRetired() const {
    return retired_items_.load(std::memory_order_relaxed);  // relaxed: a statistic
  }

 private:
  struct alignas(64) Stripe {
    typename Sync::template Atomic<Block*> head{nullptr};
  };

  bool Report(Slot* slot) {
    const bool due = AddRetired(slot->retired_items, slot->retired_bytes);
    slot->retired_items = 0;
    slot->retired_bytes = 0;
    return due;
  }

  bool AddRetired(uint32_t items, uint32_t bytes) {
    // relaxed: statistics that decide when, never whether it is safe.
    const uint64_t all = retired_items_.fetch_add(items, std::memory_order_relaxed) + items;
    const uint64_t all_bytes = retired_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    return all >= kItemsPerBatch || all_bytes >= kBytesPerBatch;
  }

  // ---- the reclaimer's, under reclaiming_ ----

  Block* TakeRetired() {
    retired_items_.store(0, std::memory_order_relaxed);  // relaxed: a statistic
    retired_bytes_.store(0, std::memory_order_relaxed);  // relaxed: a statistic
    Block* all = nullptr;
    for (Stripe& stripe : stripes_) {
      // relaxed: a stripe that is missed now is taken next time.
      if (stripe.head.load(std::memory_order_relaxed) == nullptr) continue;
      // [retired.acquire] pairs with [retire.release]; carries the links, the unlinking and the
      // destructors' accesses; breaks EpochModel.RetiredAfterUnlink.
      Block* head = stripe.head.exchange(nullptr, std::memory_order_acquire);
      Block* tail = head;
      while (Next(tail) != nullptr) tail = Next(tail);
      // relaxed: the batch is the reclaimer's.
      tail->link().store(reinterpret_cast<uintptr_t>(all) | Block::kSentinel,
                         std::memory_order_relaxed);
      all = head;
    }
    noted_ = false;
    return all;
  }

  // Returns whether the slots were noted.
  bool NoteSlots() {
    // relaxed: written by reclaimers only.
    if (asymmetric_.load(std::memory_order_relaxed) && !Sync::HeavyBarrier()) {
      // relaxed: see kExchanged.
      asymmetric_.store(false, std::memory_order_relaxed);
    }
    // relaxed: as above.
    exchanging_ = !asymmetric_.load(std::memory_order_relaxed);
    // [slots-noted.acq_rel] pairs with [slots.acq_rel]; an RMW, so that a slot published later
    // belongs to a reader that sees the unlinks; carries new slots' fields; breaks
    // EpochModel.SlotIsSeenByReclaimer.
    noted_slots_ = slots_.fetch_add(0, std::memory_order_acq_rel);
    for (Slot* s = noted_slots_; s != nullptr; s = s->next) s->Note(exchanging_);
    noted_ = true;
    return true;
  }

  Block* TakeIfAllLeft() {
    if (waiting_ == nullptr || !noted_) return nullptr;
    // [shared-seen.acq_rel] pairs with [shared-enter.acq_rel], [shared-leave.release]; an RMW, so
    // that a reader that comes later sees the unlinks; carries finished stays' reads; breaks
    // EpochModel.SharedReaderKeepsWhatItFound.
    if (shared_readers_.fetch_add(0, std::memory_order_acq_rel) != 0) return nullptr;
    for (Slot* s = noted_slots_; s != nullptr; s = s->next) {
      if (!s->HasLeft(exchanging_)) return nullptr;
    }
    Block* batch = waiting_;
    waiting_ = nullptr;
    return batch;
  }

  static void FreeChain(Block* block) {
    while (block != nullptr) {
      Block* next = Next(block);
      block->DropLastTokens(2);
      block = next;
    }
  }

  static Block* Next(Block* block) {
    // relaxed: acquired with the chain.
    return reinterpret_cast<Block*>(block->link().load(std::memory_order_relaxed) &
                                    ~Block::kSentinel);
  }

  // Read by every reader; written by a switch, and when a thread takes its first slot.
  typename Sync::template Atomic<bool> asymmetric_{false};
  typename Sync::template Atomic<Slot*> slots_{nullptr};
  typename Sync::template Atomic<uint32_t> slot_count_{0};

  alignas(64) typename Sync::template Atomic<uint64_t> retired_items_{0};
  typename Sync::template Atomic<uint64_t> retired_bytes_{0};
  typename Sync::template Atomic<uint32_t> shared_readers_{0};
  typename Sync::template Atomic<uint32_t> reclaiming_{0};
  // The reclaimer's.
  Block* waiting_ = nullptr;     // the batch in its grace period
  Slot* noted_slots_ = nullptr;  // the slots there were when it began; later ones cannot see it
  bool noted_ = false;
  bool exchanging_ = false;

  Stripe stripes_[kStripes];
};

}  // namespace weakref::internal::epoch

#endif  // WEAKREF_INTERNAL_EPOCH_DOMAIN_H_
