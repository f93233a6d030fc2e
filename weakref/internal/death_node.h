// What hangs on an object's life: callbacks and the internal hooks of linked table entries.
//
// A plain block's nodes form a lock-free stack in its link word: newest first, which is the order
// in which they run. A cached block's nodes are listed by its shard, under the shard's mutex.
//
// Ownership: the list owns one share of every node. It ends in on_destroyed (the object died) or in
// drop (the node was cancelled and swept).
//
// aux_ of a plain block: | 31 SWEEPING | 30..26 log2 of the sweep threshold | 25..0 cancelled |
// Cancelled nodes stay in the list until they outnumber the live ones two to one (at least 16);
// then a registration, which owns a strong count, sweeps them: the head stays, because pushers may
// be looking at it; everything behind it belongs to the one thread that set SWEEPING. The count is
// a hint: what is cancelled during a sweep may go uncounted and leaves with the next one.

#ifndef WEAKREF_INTERNAL_DEATH_NODE_H_
#define WEAKREF_INTERNAL_DEATH_NODE_H_

#include <atomic>
#include <bit>
#include <cstdint>

#include "weakref/internal/control_block.h"

namespace weakref::internal {

template <class Sync>
class DeathNode {
 public:
  struct Ops {
    // After CLOSED, before the destructor. May be null.
    void (*on_closed)(DeathNode*) noexcept;
    // After the destructor; takes over the list's share.
    void (*on_destroyed)(DeathNode*) noexcept;
    // True once the node has nothing left to do.
    bool (*is_cancelled)(const DeathNode*) noexcept;
    // Gives up the list's share of a cancelled node.
    void (*drop)(DeathNode*) noexcept;
  };

  explicit DeathNode(const Ops* node_ops) : ops(node_ops) {}
  DeathNode(const DeathNode&) = delete;
  DeathNode& operator=(const DeathNode&) = delete;

  const Ops* const ops;
  typename Sync::template Cell<DeathNode*> next;
  // The next block of this thread's death queue, when this is the newest node of a queued block.
  typename Sync::template Cell<BasicControlBlock<Sync>*> next_block;

 protected:
  ~DeathNode() = default;
};

// The lock-free list of a plain block.
template <class Sync>
class DeathList {
 public:
  using Block = BasicControlBlock<Sync>;
  using Node = DeathNode<Sync>;

  static constexpr uint32_t kSweeping = uint32_t{1} << 31;
  static constexpr int kThresholdShift = 26;
  static constexpr uint32_t kCancelledMask = (uint32_t{1} << kThresholdShift) - 1;
  static constexpr uint32_t kMinThresholdLog2 = 4;

  // Requires a strong count of `block`, and HAS_WEAK set. Lock-free.
  static void Push(Block* block, Node* node) {
    auto& head = block->link();
    // relaxed: the value is only stored, or compared again.
    uintptr_t old = head.load(std::memory_order_relaxed);
    do {  // another push made progress when the exchange fails
      node->next.Set(reinterpret_cast<Node*>(old));
      // [push.release] pairs with [take.acq_rel], [sweep.acquire]; carries the node's contents to
      // the closer and the sweeper; breaks CallbackModel.RegisteredCallbackRuns.
    } while (!head.compare_exchange_weak(old, reinterpret_cast<uintptr_t>(node),
                                         std::memory_order_release,
                                         // relaxed: as above
                                         std::memory_order_relaxed));
  }

  // Requires a token. Tells that a listed node was cancelled.
  static void CountCancelled(Block* block) {
    // relaxed: a hint.
    block->aux().fetch_add(1, std::memory_order_relaxed);
  }

  // Requires a strong count. Takes cancelled nodes out if there are enough. Wait-free when not.
  static void MaybeSweep(Block* block) {
    // relaxed: a hint.
    const uint32_t aux = block->aux().load(std::memory_order_relaxed);
    const uint32_t log2 = (aux & ~kSweeping) >> kThresholdShift;
    const uint32_t threshold = uint32_t{1} << (log2 < kMinThresholdLog2 ? kMinThresholdLog2 : log2);
    if ((aux & kCancelledMask) < threshold || (aux & kSweeping) != 0) return;
    // [sweep-begin.acquire] pairs with [sweep-end.release]; carries the previous sweeper's changes
    // of the chain; breaks CallbackModel.SweepersDoNotOverlap.
    if ((block->aux().fetch_or(kSweeping, std::memory_order_acquire) & kSweeping) != 0) return;
    uint32_t live = Sweep(block);
    const auto next_log2 = static_cast<uint32_t>(std::bit_width(2 * live));
    // [sweep-end.release] pairs with [sweep-begin.acquire]; carries this sweeper's changes of the
    // chain; breaks CallbackModel.SweepersDoNotOverlap.
    block->aux().store(next_log2 << kThresholdShift, std::memory_order_release);
  }

 private:
  static uint32_t Sweep(Block* block) {
    // [sweep.acquire] pairs with [push.release], [take.acq_rel]; carries the nodes' contents to the
    // sweeper; breaks CallbackModel.SweepKeepsLiveNodes.
    auto* node = reinterpret_cast<Node*>(block->link().load(std::memory_order_acquire));
    uint32_t live = 0;
    while (node != nullptr) {
      Node* next = node->next.Get();
      while (next != nullptr && next->ops->is_cancelled(next)) {
        Node* after = next->next.Get();
        next->ops->drop(next);
        next = after;
      }
      if (next != node->next.Get()) node->next.Set(next);
      ++live;
      node = next;
    }
    return live;
  }
};

}  // namespace weakref::internal

#endif  // WEAKREF_INTERNAL_DEATH_NODE_H_
