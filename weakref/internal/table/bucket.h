// A bucket: one cache line, seven entries.
//
//   word      | 63..56 overflow | 55..48 tag 6 | ... | 7..0 tag 0 |
//   slots[7]  entry pointers
//
// A tag is 8 bits of the hash, 0 for an empty slot; all seven are compared at once in the word.
// overflow counts the entries that passed this full bucket on their way to a later one; a reader
// goes on to the next bucket while it is not 0. A count that reached 255 stays there.
//
// Only the holder of the shard's mutex writes. A reader sees each word on its own; the orders of
// writing make that safe:
//   insert   overflow along the path, pointer, then tag: who sees the tag finds the entry
//   replace  one pointer store
//   unlink   tag, pointer (null), then overflow along the path

#ifndef WEAKREF_INTERNAL_TABLE_BUCKET_H_
#define WEAKREF_INTERNAL_TABLE_BUCKET_H_

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "weakref/internal/control_block.h"

namespace weakref::internal::table {

inline constexpr int kSlots = 7;

// The seven tags and the overflow count of a bucket, read at once.
class BucketWord {
 public:
  static constexpr uint64_t kLow = 0x0001010101010101;  // bit 0 of each tag
  static constexpr int kOverflowShift = 56;
  static constexpr uint64_t kMaxOverflow = 255;

  constexpr explicit BucketWord(uint64_t bits) : bits_(bits) {}

  // A set of slots: iterate while it is not 0, SlotOf the lowest, `set &= set - 1`.
  using SlotSet = uint64_t;

#if defined(__SSE2__)
  // Bit i: slot i has `tag`.
  SlotSet Match(uint8_t tag) const {
    const __m128i tags = _mm_cvtsi64_si128(static_cast<int64_t>(bits_));
    const __m128i wanted = _mm_cvtsi64_si128(static_cast<int64_t>(kLow * tag));
    const int equal = _mm_movemask_epi8(_mm_cmpeq_epi8(tags, wanted));
    return static_cast<SlotSet>(equal) & ((1 << kSlots) - 1);
  }
  static int SlotOf(SlotSet set) { return std::countr_zero(set); }
#else
  // Bit 8 i + 7: slot i has `tag`; exact, no carry crosses a slot.
  SlotSet Match(uint8_t tag) const {
    constexpr uint64_t kHigh = kLow << 7;
    constexpr uint64_t kTags = kLow * 0xff;
    const uint64_t x = (bits_ & kTags) ^ (kLow * tag);
    return ~(((x & ~kHigh) + (kTags & ~kHigh)) | x) & kHigh;
  }
  static int SlotOf(SlotSet set) { return std::countr_zero(set) / 8; }
#endif
  SlotSet Empty() const { return Match(0); }

  constexpr uint64_t overflow() const { return bits_ >> kOverflowShift; }
  constexpr uint64_t bits() const { return bits_; }

  constexpr BucketWord WithTag(int slot, uint8_t tag) const {
    return BucketWord((bits_ & ~(uint64_t{0xff} << (8 * slot))) | (uint64_t{tag} << (8 * slot)));
  }
  constexpr BucketWord WithOverflowRaised() const {
    return overflow() == kMaxOverflow ? *this : BucketWord(bits_ + (uint64_t{1} << kOverflowShift));
  }
  constexpr BucketWord WithOverflowLowered() const {
    return overflow() == kMaxOverflow ? *this : BucketWord(bits_ - (uint64_t{1} << kOverflowShift));
  }

 private:
  uint64_t bits_;
};

template <class Sync>
class alignas(64) Bucket {
 public:
  using Block = BasicControlBlock<Sync>;

  // ---- readers, under a guard ----

  BucketWord Read() const {
    // [bucket-word.acquire] pairs with [bucket-word.release]; carries the slots' pointers whose
    // tags it shows, and the overflow counts of earlier buckets; breaks
    // TableModel.HeldEntryIsFound.
    return BucketWord(word_.load(std::memory_order_acquire));
  }

  // Null if the entry was unlinked since the tag was read.
  Block* Entry(int slot) const {
    // [slot.acquire] pairs with [slot.release]; carries the entry's fields; breaks
    // TableModel.ReplacedEntryIsComplete.
    return slots_[slot].load(std::memory_order_acquire);
  }

  // ---- the writer, under the shard's mutex ----

  BucketWord ReadLocked() const {
    return BucketWord(word_.load(std::memory_order_relaxed));  // relaxed: under the mutex
  }
  Block* EntryLocked(int slot) const {
    return slots_[slot].load(std::memory_order_relaxed);  // relaxed: under the mutex
  }
  void WriteLocked(BucketWord word) {
    // [bucket-word.release] pairs with [bucket-word.acquire]; carries pointers before tags, and
    // overflow before the entry it leads to; breaks TableModel.HeldEntryIsFound.
    word_.store(word.bits(), std::memory_order_release);
  }
  void SetEntryLocked(int slot, Block* entry) {
    // [slot.release] pairs with [slot.acquire]; carries the entry's fields; breaks
    // TableModel.ReplacedEntryIsComplete.
    slots_[slot].store(entry, std::memory_order_release);
  }

 private:
  typename Sync::template Atomic<uint64_t> word_{0};
  typename Sync::template Atomic<Block*> slots_[kSlots]{};
};

static_assert(sizeof(Bucket<RealSync>) == 64, "one cache line");

}  // namespace weakref::internal::table

#endif  // WEAKREF_INTERNAL_TABLE_BUCKET_H_
