// What hangs on an object's life: callbacks and the internal hooks of linked table entries.
//
// A plain block's nodes form a lock-free stack in its link word: newest first, which is the order
// in which they run. A cached block's nodes are listed by its shard, under the shard's mutex.
//
// Ownership: the list owns one share of every node. It ends in on_destroyed (the object died) or in
// drop (the node was cancelled and swept).
//
// aux_ of a plain block: | 31 CLAIMING | 30..26 log2 of the sweep threshold | 25..0 cancelled |
// Cancelled nodes stay in the list until they outnumber the live ones two to one (at least 16);
// then a registration, which owns a strong count, sweeps them. The count is a hint.
//
// Sweepers work side by side, each on its own part of the list: from the head at its start, which
// it marks, to the next mark or the end. CLAIMING makes marking exclusive, so that a newer sweeper
// sees every older one's mark; nobody waits for it. A sweeper drops what is behind its mark, never
// the marked node: pushers and the newer sweeper look at that. It takes the mark away when it is
// done; from then on the part belongs to the next sweeper that walks into it.
//   head -> n -> n -> [mark 2] -> n -> n -> [mark 1] -> n -> n -> n
//                      `- sweeper 2 -----'   `- sweeper 1 --------'
// (With one sweeper at a time, threads that register faster than it drops outgrow it: each sweep
// then is longer than the one before it.)

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
  // A sweeper's part begins here.
  typename Sync::template Atomic<bool> marked{false};

 protected:
  ~DeathNode() = default;
};

// The lock-free list of a plain block.
template <class Sync>
class DeathList {
 public:
  using Block = BasicControlBlock<Sync>;
  using Node = DeathNode<Sync>;

  static constexpr uint32_t kClaiming = uint32_t{1} << 31;
  static constexpr int kThresholdShift = 26;
  static constexpr uint32_t kCancelledMask = (uint32_t{1} << kThresholdShift) - 1;
  static constexpr uint32_t kMinThresholdLog2 = 4;
  // Also where the count stops, far enough from its neighbour for every thread to add one more.
  static constexpr uint32_t kMaxThresholdLog2 = kThresholdShift - 1;

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
    // relaxed, both: a hint.
    const uint32_t aux = block->aux().load(std::memory_order_relaxed);
    if ((aux & kCancelledMask) >= uint32_t{1} << kMaxThresholdLog2) return;
    block->aux().fetch_add(1, std::memory_order_relaxed);  // relaxed: as above
  }

  // Requires a strong count. Takes cancelled nodes out if there are enough: amortised O(1) a
  // registration. Lock-free.
  static void MaybeSweep(Block* block) {
    // relaxed: a hint.
    const uint32_t aux = block->aux().load(std::memory_order_relaxed);
    if ((aux & kClaiming) != 0 || (aux & kCancelledMask) < uint32_t{1} << ThresholdLog2(aux)) {
      return;
    }
    Node* first = Claim(block);
    if (first != nullptr) Sweep(block, first);
  }

 private:
  static uint32_t ThresholdLog2(uint32_t aux) {
    const uint32_t log2 = (aux & ~kClaiming) >> kThresholdShift;
    return log2 < kMinThresholdLog2 ? kMinThresholdLog2 : log2;
  }

  // Returns the head, marked, or null if another thread is claiming, or sweeps from this head.
  static Node* Claim(Block* block) {
    // [claim.acquire] pairs with [claimed.release]; carries the marks of all older sweepers, so
    // that this one's head is theirs or newer, and it stops at their marks; breaks
    // CallbackModel.SweepersDoNotOverlap.
    const uint32_t aux = block->aux().fetch_or(kClaiming, std::memory_order_acquire);
    if ((aux & kClaiming) != 0) return nullptr;
    // [sweep.acquire] pairs with [push.release], [take.acq_rel]; carries the nodes' contents to the
    // sweeper; breaks CallbackModel.SweepKeepsLiveNodes.
    auto* head = reinterpret_cast<Node*>(block->link().load(std::memory_order_acquire));
    // [mark.acquire] pairs with [unmark.release]; carries the changes of a sweeper that has
    // finished; breaks CallbackModel.SweepersDoNotOverlap.
    const bool claimed = head != nullptr && !head->marked.load(std::memory_order_acquire);
    // relaxed: carried by the store that follows.
    if (claimed) head->marked.store(true, std::memory_order_relaxed);
    // [claimed.release] pairs with [claim.acquire]; carries the mark; breaks
    // CallbackModel.SweepersDoNotOverlap.
    block->aux().store(ThresholdLog2(aux) << kThresholdShift, std::memory_order_release);
    return claimed ? head : nullptr;
  }

  static void Sweep(Block* block, Node* first) {
    uint32_t live = 1;
    bool to_the_end = false;
    for (Node* node = first;; ++live) {
      Node* const old_next = node->next.Get();
      Node* next = old_next;
      while (next != nullptr && !Marked(next) && next->ops->is_cancelled(next)) {
        Node* after = next->next.Get();
        next->ops->drop(next);
        next = after;
      }
      if (next != old_next) node->next.Set(next);
      to_the_end = next == nullptr;
      if (to_the_end || Marked(next)) break;
      node = next;
    }
    // [unmark.release] pairs with [mark.acquire], [mark-met.acquire]; carries this sweeper's
    // changes of the chain to the next one; breaks CallbackModel.SweepersDoNotOverlap.
    first->marked.store(false, std::memory_order_release);
    SetThreshold(block, live, to_the_end);
  }

  static bool Marked(Node* node) {
    // [mark-met.acquire] pairs with [unmark.release]; carries the changes of a sweeper that has
    // finished to the one that walks into its part; breaks CallbackModel.SweepersDoNotOverlap.
    return node->marked.load(std::memory_order_acquire);
  }

  // Who saw only a part of the list may raise the threshold, not lower it: sweeps stay rarer than
  // what they walk over.
  static void SetThreshold(Block* block, uint32_t live, bool saw_all) {
    uint32_t log2 = static_cast<uint32_t>(std::bit_width(live)) + 1;
    if (log2 > kMaxThresholdLog2) log2 = kMaxThresholdLog2;
    // relaxed, all here: a hint.
    uint32_t aux = block->aux().load(std::memory_order_relaxed);
    uint32_t wanted = 0;
    do {  // another thread counted, claimed or set it when the exchange fails
      if (!saw_all && ThresholdLog2(aux) >= log2) return;
      wanted = (aux & (kClaiming | kCancelledMask)) | (log2 << kThresholdShift);
    } while (!block->aux().compare_exchange_weak(aux, wanted,
                                                 std::memory_order_relaxed,    // relaxed: as above
                                                 std::memory_order_relaxed));  // relaxed: as above
  }
};

}  // namespace weakref::internal

#endif  // WEAKREF_INTERNAL_DEATH_NODE_H_
