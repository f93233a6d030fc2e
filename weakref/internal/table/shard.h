// A shard: one table, the mutex of its writers, its entries' memory, and what their death does.
//
// An entry's control block points to the shard's operations (`ops`), which is how a block finds its
// shard. The death of an entry, after its last release left count 0 (design: order of death):
//
//   close (one compare-exchange) -> mutex: take death nodes, unlink by identity -> destructor ->
//   death nodes, newest first -> retire: the table's token and the implicit one go together
//
// Unlinking only takes an entry out of its bucket. Its table token is always retired by who closed
// it: so a thread that unlinks and a thread that dies cannot both free it.

#ifndef WEAKREF_INTERNAL_TABLE_SHARD_H_
#define WEAKREF_INTERNAL_TABLE_SHARD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "weakref/internal/death.h"
#include "weakref/internal/epoch/guard.h"
#include "weakref/internal/table/compared_entries.h"
#include "weakref/internal/table/core_refs.h"
#include "weakref/internal/table/entry.h"
#include "weakref/internal/table/entry_slab.h"
#include "weakref/internal/table/side_nodes.h"
#include "weakref/internal/table/table.h"

namespace weakref::internal::table {

template <class Sync>
class Shard;

template <class Sync>
struct ShardOps : BlockOps<Sync> {
  Shard<Sync>* shard;
};

// What an entry's type knows.
template <class Sync>
struct EntryTraits {
  using Block = BasicControlBlock<Sync>;
  size_t size;
  size_t align;
  void (*dispose)(Block*) noexcept;          // destroys an inline value
  void (*deallocate)(Block*) noexcept;       // destroys the key, drops a link's token, calls Free
  LinkTarget<Sync>* (*link_target)(Block*);  // of a linked entry
};

// A power of two in size, so that the hit path finds its shard by a shift.
template <class Sync>
class alignas(512) Shard {
 public:
  using Block = BasicControlBlock<Sync>;
  using Node = DeathNode<Sync>;
  using Word = typename Block::Word;
  using Array = BucketArray<Sync>;
  using Position = typename Array::Position;
  using Mutex = typename Sync::Mutex;
  using MutexLock = typename Sync::MutexLock;

  Shard(CoreRefs<Sync>* core, size_t index, const EntryTraits<Sync>& traits)
      : core_(core),
        index_(index),
        link_target_(traits.link_target),
        slab_(traits.size, traits.align) {
    ops_.dispose = traits.dispose;
    ops_.deallocate = traits.deallocate;
    ops_.last_release = &LastRelease;
    ops_.finish = &Finish;
    ops_.add_death_node = &AddDeathNode;
    ops_.shard = this;
  }
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  static Shard* Of(const Block* entry) {
    return static_cast<const ShardOps<Sync>*>(entry->ops())->shard;
  }

  // ---- readers ----

  const Table<Sync>& table() const { return table_; }

  // Entries whose value is alive and of generation `generation`; stale at once.
  size_t ApproxLive(uintptr_t generation) const {
    // relaxed, both: a statistic.
    return live_generation_.load(std::memory_order_relaxed) == generation
               ? live_.load(std::memory_order_relaxed)  // relaxed: as above
               : 0;
  }
  uint64_t deaths() const {
    return deaths_.load(std::memory_order_relaxed);  // relaxed: a statistic
  }

  // ---- entries' memory ----

  // Throws: std::bad_alloc.
  void* Allocate() {
    bool first = false;
    void* memory = slab_.Allocate(&first);
    if (first) core_->Add();
    return memory;
  }
  // May destroy the core, and with it this shard.
  void Free(void* memory) {
    if (slab_.Free(memory)) core_->Drop();
  }
  const BlockOps<Sync>* ops() const { return &ops_; }
  uint32_t entry_bytes() const { return static_cast<uint32_t>(slab_.block_size()); }

  // ---- writers ----

  Mutex& mutex() { return mutex_; }
  Table<Sync>& table_locked() { return table_; }
  bool closed() const { return closed_; }

  // Looks an entry up for writing. `equal(entry)`, user code, is called outside the mutex, under a
  // guard, for entries of equal hash; `decide(entry or null, position)` under the mutex, on what is
  // in the table at that moment; its result is returned. What `equal` throws leaves all unchanged.
  template <class Equal, class Decide>
  auto Lookup(uint32_t hash, Equal&& equal, Decide&& decide) {
    epoch::Guard<Sync> guard;  // entries that were compared keep their identity meanwhile
    using Verdict = typename ComparedEntries<Block>::Verdict;
    ComparedEntries<Block> compared;
    table_.Find(hash, [&](Block* entry) {
      if (entry->aux().load(std::memory_order_relaxed) != hash) return false;  // relaxed: constant
      const bool is_equal = equal(entry);
      compared.Add(entry, is_equal);
      return is_equal;
    });
    for (;;) {
      const Block* unknown = nullptr;
      {
        MutexLock lock(&mutex_);
        Block* found = nullptr;
        Position where{};
        if (!closed_) {
          table_.VisitLocked(hash, [&](Block* entry, Position position) {
            switch (compared.Find(entry)) {
              case Verdict::kDifferent:
                return false;
              case Verdict::kEqual:
                found = entry;
                where = position;
                return true;
              case Verdict::kUnknown:
                break;
            }
            unknown = entry;
            return true;
          });
        }
        if (unknown == nullptr) return decide(found, where);
      }
      compared.Add(unknown, equal(unknown));  // somebody inserted it meanwhile
    }
  }

  // Unlinks whatever is linked there, without touching the entry's counts.
  bool UnlinkLocked(Block* entry) {
    if (closed_ || !table_.UnlinkLocked(entry)) return false;
    OutOfTableLocked(entry);
    return true;
  }
  void ReplaceLocked(Position where, Block* old, Block* entry) {
    table_.ReplaceLocked(where, old, entry);
    OutOfTableLocked(old);
  }
  // An entry in the table became visible, or was inserted visible.
  void CountLiveLocked(uintptr_t generation) {
    // relaxed, all: written under the mutex, read as statistics.
    if (live_generation_.load(std::memory_order_relaxed) != generation) {
      live_generation_.store(generation, std::memory_order_relaxed);  // relaxed: as above
      live_.store(0, std::memory_order_relaxed);                      // relaxed: as above
    }
    Bump(live_, 1);
  }

  // After a change, under no lock: resizes if it is time. `must` says that the table is full.
  // Throws: std::bad_alloc if `must`; otherwise the table stays as it is.
  void Maintain(bool must = false) {
    Array* fresh = nullptr;
    for (;;) {
      Array* old = nullptr;
      int wanted = -1;
      {
        MutexLock lock(&mutex_);
        if (!closed_) {
          wanted = table_.WantedLog2();
          if (wanted >= 0 && fresh != nullptr && fresh->log2() == wanted) {
            table_.BeginResize(std::exchange(fresh, nullptr));
            wanted = -1;
          }
          old = must ? table_.FinishResizeLocked() : table_.StepLocked();
        }
      }
      RetireArray(old);
      if (fresh != nullptr) Array::Free(std::exchange(fresh, nullptr));
      if (wanted < 0) return;
      try {
        fresh = Array::Make(wanted);
      } catch (...) {
        if (must) throw;
        return;  // the present array has room
      }
    }
  }

  // Empties the table; entries live on as plain blocks. `visit(entry)` is called under the mutex
  // for each one.
  template <class Visit>
  void Close(Visit&& visit) {
    Array* array = nullptr;
    Array* unpublished = nullptr;
    {
      epoch::Guard<Sync> guard;  // a target may sweep, and retire, an entry that has left the table
      MutexLock lock(&mutex_);
      if (closed_) return;
      closed_ = true;
      table_.VisitAllLocked([&](Block* entry) {
        visit(entry);
        OutOfTableLocked(entry);
        return true;
      });
      array = table_.CloseLocked(&unpublished);
    }
    RetireArray(array);
    if (unpublished != nullptr) Array::Free(unpublished);
  }

  void RetireArray(Array* array) {
    if (array != nullptr) epoch::Retire<Sync>(array, index_, array->bytes());
  }
  // Gives up an entry's two last tokens after a grace period.
  void RetireEntry(Block* entry) { epoch::Retire<Sync>(entry, index_, entry_bytes()); }

 private:
  template <class A>
  static void Bump(A& counter, int64_t by) {
    // relaxed: written under the mutex only, read as a statistic.
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }

  // `entry` has just left the table: bookkeeping by its state, which nobody else changes now.
  void OutOfTableLocked(Block* entry) {
    const EntryState state = ReadState(entry);
    if (state.live() || state.linked()) {
      // relaxed: written under the mutex.
      if (state.generation() == live_generation_.load(std::memory_order_relaxed)) Bump(live_, -1);
    }
    if (state.linked()) {
      // The hook in the target has nothing left to do but to be swept, or to retire the entry when
      // the target dies. The entry, in the table until now, keeps the target's block.
      WriteState(entry, EntryState(Block::kSentinel));
      Block* target = link_target_(entry)->target;
      if (target->ops()->add_death_node == nullptr) DeathList<Sync>::CountCancelled(target);
    }
  }

  static void LastRelease(Block* entry, Word word) {
    if (!entry->TryClose(word)) {
      entry->DropWeak();  // somebody promoted from this 0, with a token for it
      return;
    }
    Of(entry)->Die(entry, (word & Block::kHasSide) != 0);
  }

  void Die(Block* entry, bool has_side) {
    Node* nodes = nullptr;
    Array* old = nullptr;
    {
      MutexLock lock(&mutex_);
      if (has_side) nodes = side_nodes_.TakeLocked(entry);
      UnlinkLocked(entry);
      Bump(deaths_, 1);
      if (!closed_) old = table_.StepLocked();
    }
    // relaxed: readers of a closed entry promote in vain, whatever state they see.
    entry->link().store(Block::kSentinel, std::memory_order_relaxed);
    RetireArray(old);
    RunDeath<Sync>(entry, nodes);
  }

  static void Finish(Block* entry) noexcept { Of(entry)->RetireEntry(entry); }

  static void AddDeathNode(Block* entry, Node* node) {
    Shard* shard = Of(entry);
    Node* swept = nullptr;
    {
      MutexLock lock(&shard->mutex_);
      swept = shard->side_nodes_.AddLocked(entry, node);
    }
    // The caller's strong count keeps the flag's owner rule: set before its release.
    entry->SetHasSide();
    SideNodes<Sync>::Drop(swept);
  }

  Table<Sync> table_;  // readers' line first
  CoreRefs<Sync>* const core_;
  const size_t index_;
  ShardOps<Sync> ops_{};
  LinkTarget<Sync>* (*const link_target_)(Block*);
  alignas(64) Mutex mutex_;
  bool closed_ = false;
  SideNodes<Sync> side_nodes_;
  typename Sync::template Atomic<uintptr_t> live_generation_{0};
  typename Sync::template Atomic<uint64_t> live_{0};
  typename Sync::template Atomic<uint64_t> deaths_{0};
  alignas(64) EntrySlab<Sync> slab_;
};

}  // namespace weakref::internal::table

#endif  // WEAKREF_INTERNAL_TABLE_SHARD_H_
