// The death of a closed block, and how a million nested deaths fit on the stack.
//
//   CLOSED (done) -> hooks: on_closed -> destructor -> callbacks, newest first -> tokens
//
// The closer owns its token across all of it, so a destructor that drops the last WeakRef of its
// own object frees nothing under its own feet.
//
// Deaths that a destructor causes run inside it, as with std::shared_ptr: a member's destructor may
// look at its parent. At a depth of 64 they are queued per thread instead, and run before the
// outermost release returns. As long as something is queued, no block that this thread destroyed is
// given back (a queued child may look at its parent's memory): such blocks wait in limbo.
//
// Both lists are linked through words that the object does not occupy: the closed block's link word
// with bit 0 set, or, when the block has death nodes, the newest node (bit 1 tells). So the death
// path allocates nothing and throws nothing.

#ifndef WEAKREF_INTERNAL_DEATH_H_
#define WEAKREF_INTERNAL_DEATH_H_

#include <atomic>
#include <cstdint>

#include "weakref/internal/control_block.h"
#include "weakref/internal/death_node.h"

namespace weakref::internal {

// One per thread; all accesses are that thread's own.
template <class Sync>
struct DeathQueue {
  using Block = BasicControlBlock<Sync>;
  using Node = DeathNode<Sync>;

  static constexpr uint32_t kMaxDepth = 64;
  static constexpr uintptr_t kLinkIsNode = 2;

  uint32_t depth;
  Block* head;   // closed, not yet destroyed
  Block* tail;   // valid if head is not null
  Block* limbo;  // destroyed, memory kept

  void Enqueue(Block* block, Node* nodes) {
    SetNext(block, nodes, nullptr);
    if (head == nullptr) {
      head = block;
    } else {
      SetNext(tail, NodesOf(tail), block);
    }
    tail = block;
  }

  // Destructor, callbacks; then the tokens, unless something is queued.
  void Destroy(Block* block, Node* nodes) {
    block->ops()->dispose(block);
    while (nodes != nullptr) {
      Node* next = nodes->next.Get();  // on_destroyed may free the node
      nodes->ops->on_destroyed(nodes);
      nodes = next;
    }
    if (head != nullptr) {
      SetNext(block, nullptr, limbo);
      limbo = block;
    } else {
      Finish(block);
    }
  }

  void Drain() {
    while (head != nullptr || limbo != nullptr) {
      if (head != nullptr) {
        Block* block = head;
        Node* nodes = NodesOf(block);
        head = NextOf(block);
        Destroy(block, nodes);
      } else {
        Block* block = limbo;
        limbo = NextOf(block);
        Finish(block);
      }
    }
  }

 private:
  static void Finish(Block* block) {
    if (block->ops()->finish != nullptr) {
      block->ops()->finish(block);
    } else {
      block->DropLastTokens(1);
    }
  }

  // relaxed, the accesses of link below: the block is closed and the queue is this thread's.
  static Node* NodesOf(Block* block) {
    const uintptr_t link = block->link().load(std::memory_order_relaxed);  // relaxed: as above
    return (link & kLinkIsNode) != 0 ? reinterpret_cast<Node*>(link & ~uintptr_t{3}) : nullptr;
  }
  static Block* NextOf(Block* block) {
    const uintptr_t link = block->link().load(std::memory_order_relaxed);  // relaxed: as above
    return (link & kLinkIsNode) != 0
               ? reinterpret_cast<Node*>(link & ~uintptr_t{3})->next_block.Get()
               : reinterpret_cast<Block*>(link & ~uintptr_t{3});
  }
  static void SetNext(Block* block, Node* nodes, Block* next) {
    uintptr_t link = reinterpret_cast<uintptr_t>(next) | Block::kSentinel;
    if (nodes != nullptr) {
      nodes->next_block.Set(next);
      link = reinterpret_cast<uintptr_t>(nodes) | Block::kSentinel | kLinkIsNode;
    }
    block->link().store(link, std::memory_order_relaxed);  // relaxed: as above
  }
};

template <class Sync>
void RunDeath(BasicControlBlock<Sync>* block, DeathNode<Sync>* nodes) noexcept {
  for (DeathNode<Sync>* node = nodes; node != nullptr; node = node->next.Get()) {
    if (node->ops->on_closed != nullptr) node->ops->on_closed(node);
  }
  auto& queue = Sync::template Local<DeathQueue<Sync>>();
  if (queue.depth >= DeathQueue<Sync>::kMaxDepth) {
    queue.Enqueue(block, nodes);
    return;
  }
  ++queue.depth;
  queue.Destroy(block, nodes);
  if (queue.depth == 1) queue.Drain();
  --queue.depth;
}

}  // namespace weakref::internal

#endif  // WEAKREF_INTERNAL_DEATH_H_
