// A power of two of buckets, probed linearly; published whole, retired whole.
//
// It begins with a control block, so that it is retired like an entry: its memory goes back when
// both tokens are dropped after a grace period. Entries never move within an array.

#ifndef WEAKREF_INTERNAL_TABLE_BUCKET_ARRAY_H_
#define WEAKREF_INTERNAL_TABLE_BUCKET_ARRAY_H_

#include <cstddef>
#include <cstdint>
#include <new>

#include "weakref/internal/control_block.h"
#include "weakref/internal/table/bucket.h"
#include "weakref/internal/table/hash_mix.h"

namespace weakref::internal::table {

template <class Sync>
class alignas(64) BucketArray final : public BasicControlBlock<Sync> {
 public:
  using Block = BasicControlBlock<Sync>;

  static constexpr int kMaxLog2 = kHomeBits;

  // Throws: std::bad_alloc.
  static BucketArray* Make(int log2) {
    void* memory = Sync::Allocate(Bytes(log2), alignof(BucketArray));
    auto* array = ::new (memory) BucketArray(log2);
    for (size_t i = 0; i < array->size(); ++i) ::new (&array->bucket(i)) Bucket<Sync>();
    return array;
  }
  // For an array that was never published, or whose readers are known to be gone.
  static void Free(BucketArray* array) { Deallocate(array); }

  int log2() const { return log2_; }
  size_t size() const { return size_t{1} << log2_; }
  size_t capacity() const { return size() * kSlots; }
  size_t mask() const { return size() - 1; }
  uint32_t bytes() const {
    const size_t bytes = Bytes(log2_);
    return bytes > UINT32_MAX ? UINT32_MAX : static_cast<uint32_t>(bytes);
  }

  Bucket<Sync>& bucket(size_t i) { return buckets()[i]; }
  const Bucket<Sync>& bucket(size_t i) const {
    return const_cast<BucketArray*>(this)->buckets()[i];
  }

  // ---- the writer, under the shard's mutex ----

  // Where an entry is.
  struct Position {
    size_t bucket;
    int slot;
  };

  // Returns false if there is no free slot; nothing is changed then.
  bool InsertLocked(Block* entry, uint32_t hash, Position* where) {
    size_t index = Home(hash) & mask();
    size_t passed = 0;
    while (bucket(index).ReadLocked().Empty() == 0) {
      if (++passed == size()) return false;
      index = (index + 1) & mask();
    }
    size_t full = Home(hash) & mask();
    for (; full != index; full = (full + 1) & mask()) {
      bucket(full).WriteLocked(bucket(full).ReadLocked().WithOverflowRaised());
    }
    Bucket<Sync>& home = bucket(index);
    const BucketWord word = home.ReadLocked();
    const int slot = BucketWord::SlotOf(word.Empty());
    home.SetEntryLocked(slot, entry);
    home.WriteLocked(word.WithTag(slot, Tag(hash)));
    *where = {index, slot};
    return true;
  }

  // Calls visit(entry, position) for each entry whose tag is `hash`'s, along its path, until it
  // returns true. Returns whether it did.
  template <class Visit>
  bool VisitLocked(uint32_t hash, Visit&& visit) {
    size_t index = Home(hash) & mask();
    for (size_t n = 0; n < size(); ++n, index = (index + 1) & mask()) {
      const BucketWord word = bucket(index).ReadLocked();
      for (BucketWord::SlotSet match = word.Match(Tag(hash)); match != 0; match &= match - 1) {
        const int slot = BucketWord::SlotOf(match);
        if (visit(bucket(index).EntryLocked(slot), Position{index, slot})) return true;
      }
      if (word.overflow() == 0) return false;
    }
    return false;
  }

  bool FindLocked(const Block* entry, uint32_t hash, Position* where) {
    return VisitLocked(hash, [&](Block* found, Position position) {
      *where = position;
      return found == entry;
    });
  }

  void UnlinkLocked(Position where, uint32_t hash) {
    Bucket<Sync>& home = bucket(where.bucket);
    home.WriteLocked(home.ReadLocked().WithTag(where.slot, 0));
    home.SetEntryLocked(where.slot, nullptr);
    for (size_t i = Home(hash) & mask(); i != where.bucket; i = (i + 1) & mask()) {
      bucket(i).WriteLocked(bucket(i).ReadLocked().WithOverflowLowered());
    }
  }

  void ReplaceLocked(Position where, Block* entry) {
    bucket(where.bucket).SetEntryLocked(where.slot, entry);
  }

 private:
  explicit BucketArray(int log2)
      : Block(typename Block::Listed(), &kOps, /*aux=*/0, /*link=*/Block::kSentinel), log2_(log2) {}
  ~BucketArray() = default;

  static size_t Bytes(int log2) {
    return sizeof(BucketArray) + (size_t{1} << log2) * sizeof(Bucket<Sync>);
  }
  Bucket<Sync>* buckets() { return reinterpret_cast<Bucket<Sync>*>(this + 1); }

  static void Deallocate(Block* block) noexcept {
    auto* array = static_cast<BucketArray*>(block);
    const size_t bytes = Bytes(array->log2_);
    for (size_t i = 0; i < array->size(); ++i) array->bucket(i).~Bucket<Sync>();
    array->~BucketArray();
    Sync::Deallocate(array, bytes, alignof(BucketArray));
  }

  static constexpr typename Block::Ops kOps = {nullptr, &Deallocate, nullptr, nullptr, nullptr};

  const int log2_;
};

}  // namespace weakref::internal::table

#endif  // WEAKREF_INTERNAL_TABLE_BUCKET_ARRAY_H_
