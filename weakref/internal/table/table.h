// One shard's hash table: lock-free to read, written under the shard's mutex, resized in steps.
//
// Readers follow one pointer to the current array and never wait, retry or help. A resize fills a
// second array a few buckets at a time, one step with each change, and publishes it when all is
// there; the first one is retired. Until then every change is made to the first array, and also to
// the second if it touches a bucket that has been copied already.
//
// The table knows blocks, their stored hash (aux) and their identity; it never calls user code.

#ifndef WEAKREF_INTERNAL_TABLE_TABLE_H_
#define WEAKREF_INTERNAL_TABLE_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "weakref/internal/table/bucket_array.h"

namespace weakref::internal::table {

template <class Sync>
class Table {
 public:
  using Block = BasicControlBlock<Sync>;
  using Array = BucketArray<Sync>;
  using Position = typename Array::Position;

  // Entries per 100 slots that make it grow or shrink. Seven slots a bucket keep probes short up to
  // here; below a twelfth, an array half the size is plenty.
  static constexpr size_t kGrowPercent = 86;
  static constexpr size_t kShrinkPercent = 12;
  static constexpr int kMinLog2 = 0;
  // Buckets copied with each change: bounds what one change costs to some microseconds.
  static constexpr size_t kBucketsPerStep = 32;

  // Throws: std::bad_alloc.
  Table() : array_(Word(Array::Make(kMinLog2))) {}
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  // The caller knows that no reader is left.
  ~Table() {
    if (Current() != nullptr) Array::Free(Current());
    if (next_ != nullptr) Array::Free(next_);
  }

  // ---- readers, under a guard: wait-free ----

  // The near part of Find: the first entry of the home bucket with the tag of `hash`, if
  // match(entry) says true. Null says nothing: some percent of the entries are only found by Find.
  template <class Match>
  [[gnu::always_inline]] Block* FindNear(uint32_t hash, const Match& match) const {
    // [array-near.acquire] pairs with [array.release]; carries the array's contents; breaks
    // TableModel.HeldEntryIsFound.
    const uintptr_t word = array_.load(std::memory_order_acquire);
    const Bucket<Sync>* bucket = BucketsOf(word) + (hash & MaskOf(word));
    const BucketWord::SlotSet hits = bucket->Read().Match(Tag(hash));
    if (hits == 0) [[unlikely]]
      return nullptr;
    Block* entry = bucket->Entry(BucketWord::SlotOf(hits));
    return entry != nullptr && match(entry) ? entry : nullptr;
  }

  // The first entry with the tag of `hash` for which match(entry) says true, or null. Tries an
  // entry that is in the table throughout the call for certain, at most once; others perhaps.
  template <class Match>
  Block* Find(uint32_t hash, const Match& match) const {
    // [array.acquire] pairs with [array.release]; carries the array's contents; breaks
    // TableModel.HeldEntryIsFound.
    const uintptr_t word = array_.load(std::memory_order_acquire);
    const Bucket<Sync>* buckets = BucketsOf(word);
    const size_t mask = MaskOf(word);
    size_t index = hash & mask;
    for (size_t n = 0; n <= mask; ++n, index = (index + 1) & mask) {
      const BucketWord tags = buckets[index].Read();
      for (auto hits = tags.Match(Tag(hash)); hits != 0; hits &= hits - 1) {
        Block* entry = buckets[index].Entry(BucketWord::SlotOf(hits));
        if (entry != nullptr && match(entry)) return entry;
      }
      if (tags.overflow() == 0) break;
    }
    return nullptr;
  }

  void Prefetch(uint32_t hash) const {
    // relaxed: only an address.
    const uintptr_t word = array_.load(std::memory_order_relaxed);
    __builtin_prefetch(BucketsOf(word) + (hash & MaskOf(word)));
  }

  // ---- the writer, under the shard's mutex ----

  // Calls visit(entry, position) for each entry whose stored hash is `hash`, until it returns true.
  template <class Visit>
  bool VisitLocked(uint32_t hash, Visit&& visit) {
    return Current()->VisitLocked(hash, [&](Block* entry, Position where) {
      return StoredHashOf(entry) == hash && visit(entry, where);
    });
  }

  // Returns false if the array is full: then Grow first.
  [[nodiscard]] bool InsertLocked(Block* entry) {
    const uint32_t hash = StoredHashOf(entry);
    Position where;
    if (!Current()->InsertLocked(entry, hash, &where)) return false;
    if (Copied(where)) InsertIntoNext(entry, hash);
    ++count_;
    return true;
  }

  // `entry` takes the place of `old`, which has the same hash and is at `where`.
  void ReplaceLocked(Position where, Block* old, Block* entry) {
    Current()->ReplaceLocked(where, entry);
    Position copy;
    if (Copied(where) && next_->FindLocked(old, StoredHashOf(old), &copy)) {
      next_->ReplaceLocked(copy, entry);
    }
  }

  // By identity. Returns whether `entry` was in the table.
  bool UnlinkLocked(Block* entry) {
    if (Current() == nullptr) return false;
    const uint32_t hash = StoredHashOf(entry);
    Position where;
    if (!Current()->FindLocked(entry, hash, &where)) return false;
    const bool copied = Copied(where);
    Current()->UnlinkLocked(where, hash);
    if (copied && next_->FindLocked(entry, hash, &where)) next_->UnlinkLocked(where, hash);
    --count_;
    return true;
  }

  // Calls visit(entry) for every entry, until it returns false.
  template <class Visit>
  void VisitAllLocked(Visit&& visit) {
    if (Current() == nullptr) return;
    for (size_t i = 0; i < Current()->size(); ++i) {
      for (int slot = 0; slot < kSlots; ++slot) {
        Block* entry = Current()->bucket(i).EntryLocked(slot);
        if (entry != nullptr && !visit(entry)) return;
      }
    }
  }

  size_t count() const { return count_; }
  size_t capacity() const { return Current()->capacity(); }
  // Buckets whose overflow is not 0 make readers go on; for tests and statistics.
  size_t array_bytes() const {
    return Current()->bytes() + (next_ == nullptr ? 0 : next_->bytes());
  }

  // ---- resizing ----

  // The log2 of the array that this table should have, or -1 if it is fine or on its way.
  int WantedLog2() const {
    if (next_ != nullptr || Current() == nullptr) return -1;
    const int log2 = Current()->log2();
    if (count_ * 100 >= capacity() * kGrowPercent && log2 < Array::kMaxLog2) return log2 + 1;
    if (count_ * 100 < capacity() * kShrinkPercent && log2 > kMinLog2) return log2 - 1;
    return -1;
  }

  // Whether `log2` is still what is wanted: the mutex was given up to allocate.
  void BeginResize(Array* array) {
    next_ = array;
    copied_ = 0;
  }

  // Copies some buckets of a resize under way. Returns the old array when the new one has been
  // published: retire it outside the mutex.
  [[nodiscard]] Array* StepLocked(size_t buckets = kBucketsPerStep) {
    if (next_ == nullptr) return nullptr;
    Array* current = Current();
    const size_t end = buckets < current->size() - copied_ ? copied_ + buckets : current->size();
    for (size_t i = copied_; i < end; ++i) {
      for (int slot = 0; slot < kSlots; ++slot) {
        __builtin_prefetch(current->bucket(i).EntryLocked(slot));
      }
    }
    for (; copied_ < end; ++copied_) {
      for (int slot = 0; slot < kSlots; ++slot) {
        Block* entry = current->bucket(copied_).EntryLocked(slot);
        if (entry != nullptr) InsertIntoNext(entry, StoredHashOf(entry));
      }
    }
    if (copied_ < current->size()) return nullptr;
    // [array.release] pairs with [array.acquire], [array-near.acquire]; carries the array's
    // contents; breaks TableModel.HeldEntryIsFound.
    array_.store(Word(next_), std::memory_order_release);
    next_ = nullptr;
    return current;
  }

  [[nodiscard]] Array* FinishResizeLocked() { return StepLocked(SIZE_MAX); }

  // The end: gives up the array, without freeing the entries. Readers find nothing from here on.
  // Retire what is returned.
  [[nodiscard]] Array* CloseLocked(Array** unpublished) {
    Array* current = Current();
    *unpublished = next_;
    next_ = nullptr;
    count_ = 0;
    // relaxed: only the closing thread may still call.
    array_.store(0, std::memory_order_relaxed);
    return current;
  }

 private:
  static constexpr uintptr_t kLog2Mask = 63;

  static const Bucket<Sync>* BucketsOf(uintptr_t word) {
    return reinterpret_cast<const Bucket<Sync>*>(word & ~kLog2Mask);
  }
  static size_t MaskOf(uintptr_t word) { return (size_t{1} << (word & kLog2Mask)) - 1; }

  static uint32_t StoredHashOf(const Block* entry) {
    return entry->aux().load(std::memory_order_relaxed);  // relaxed: constant
  }
  // Where the buckets are, which is behind the array's header, and how many.
  static uintptr_t Word(Array* array) {
    return reinterpret_cast<uintptr_t>(&array->bucket(0)) | static_cast<uintptr_t>(array->log2());
  }
  Array* Current() const {
    // relaxed: under the mutex.
    const uintptr_t word = array_.load(std::memory_order_relaxed);
    return word == 0 ? nullptr : reinterpret_cast<Array*>(word & ~kLog2Mask) - 1;
  }
  bool Copied(Position where) const { return next_ != nullptr && where.bucket < copied_; }
  void InsertIntoNext(Block* entry, uint32_t hash) {
    Position ignored;
    // Cannot be full: an array is left for a smaller one only at an eighth of its capacity, and
    // steps come with every change.
    (void)next_->InsertLocked(entry, hash, &ignored);
  }

  // Readers' line; written by a resize only.
  alignas(64) typename Sync::template Atomic<uintptr_t> array_;
  // The writer's.
  alignas(64) Array* next_ = nullptr;  // being filled
  size_t copied_ = 0;                  // buckets of the current array that have been copied to it
  size_t count_ = 0;
};

}  // namespace weakref::internal::table

#endif  // WEAKREF_INTERNAL_TABLE_TABLE_H_
