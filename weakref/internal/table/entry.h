// An entry of a table: control block, key, value, in one allocation.
//
//   ops 8 | strong 8 | weak 4 | hash 4 | state 8 | key | value           (key 8, value 24: one
//   line)
//
// Inline: the value is in the entry, and the entry is the value's control block.
// Linked: the value is an object that exists elsewhere, in its own block; the entry's place for the
// value holds a pointer to it and a token on its block. Its hook (linked_hook.h) takes the entry
// out when that object dies.
//
// The state word, which is the block's link word
//   | payload ............................ | 2..1 phase | 0 |
//   LOADING  the load's record              | 01         | 0 |   readers: absent
//   LIVE     generation << 8                | 10         | 0 |
//   LINKED   generation << 8                | 11         | 0 |
//   dead     a link of a death queue, ...   | -          | 1 |
// An entry is fresh while its generation is the table's; InvalidateAll advances the table's.

#ifndef WEAKREF_INTERNAL_TABLE_ENTRY_H_
#define WEAKREF_INTERNAL_TABLE_ENTRY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "weakref/internal/control_block.h"

namespace weakref::internal::table {

enum class Phase : uintptr_t { kLoading = 2, kLive = 4, kLinked = 6 };

class EntryState {
 public:
  static constexpr uintptr_t kPhaseMask = 7;
  static constexpr int kGenerationShift = 8;

  constexpr explicit EntryState(uintptr_t word) : word_(word) {}
  static EntryState Loading(const void* record) {
    return EntryState(reinterpret_cast<uintptr_t>(record) | uintptr_t(Phase::kLoading));
  }
  static constexpr EntryState Live(uintptr_t generation) {
    return EntryState((generation << kGenerationShift) | uintptr_t(Phase::kLive));
  }
  static constexpr EntryState Linked(uintptr_t generation) {
    return EntryState((generation << kGenerationShift) | uintptr_t(Phase::kLinked));
  }

  constexpr bool dead() const { return (word_ & 1) != 0; }
  constexpr bool loading() const { return (word_ & kPhaseMask) == uintptr_t(Phase::kLoading); }
  constexpr bool live() const { return (word_ & kPhaseMask) == uintptr_t(Phase::kLive); }
  constexpr bool linked() const { return (word_ & kPhaseMask) == uintptr_t(Phase::kLinked); }
  constexpr uintptr_t generation() const { return word_ >> kGenerationShift; }
  void* record() const { return reinterpret_cast<void*>(word_ & ~kPhaseMask); }
  constexpr uintptr_t word() const { return word_; }
  friend constexpr bool operator==(EntryState, EntryState) = default;

 private:
  uintptr_t word_;
};

template <class Sync>
EntryState ReadState(const BasicControlBlock<Sync>* block) {
  // [entry-state.acquire] pairs with [entry-state.release]; carries the value, or the linked
  // object's place, to the reader; breaks TableModel.PublishedValueIsComplete.
  return EntryState(block->link().load(std::memory_order_acquire));
}

template <class Sync>
void WriteState(BasicControlBlock<Sync>* block, EntryState state) {
  // [entry-state.release] pairs with [entry-state.acquire]; carries the value, or the linked
  // object's place, to the reader; breaks TableModel.PublishedValueIsComplete.
  block->link().store(state.word(), std::memory_order_release);
}

// Where a linked entry's object is. The token on `target` is the entry's.
template <class Sync>
struct LinkTarget {
  BasicControlBlock<Sync>* target;
  void* object;
};

template <class Sync, class K, class V>
class Entry final : public BasicControlBlock<Sync> {
 public:
  using Block = BasicControlBlock<Sync>;
  using Target = LinkTarget<Sync>;

  template <class Q>
  Entry(const BlockOps<Sync>* ops, uint32_t hash, const Q& key)
      : Block(typename Block::Listed(), ops, hash, Block::kSentinel), key_(key) {}
  ~Entry() = default;

  static Entry* From(Block* block) { return static_cast<Entry*>(block); }
  static const Entry* From(const Block* block) { return static_cast<const Entry*>(block); }

  const K& key() const { return key_; }
  void* value_storage() { return storage_; }
  V* value() { return std::launder(reinterpret_cast<V*>(storage_)); }
  Target& target() { return *std::launder(reinterpret_cast<Target*>(storage_)); }

  uint32_t hash() const {
    return this->aux().load(std::memory_order_relaxed);  // relaxed: constant
  }

 private:
  static constexpr size_t kSize = sizeof(V) > sizeof(Target) ? sizeof(V) : sizeof(Target);
  static constexpr size_t kAlign = alignof(V) > alignof(Target) ? alignof(V) : alignof(Target);

  const K key_;
  alignas(kAlign) std::byte storage_[kSize];
};

}  // namespace weakref::internal::table

#endif  // WEAKREF_INTERNAL_TABLE_ENTRY_H_
