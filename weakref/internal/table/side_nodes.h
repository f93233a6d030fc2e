// The death nodes of a shard's entries, which have no room for a list of their own.
//
// Under the shard's mutex. Found only if HAS_SIDE says so: most entries have none.

#ifndef WEAKREF_INTERNAL_TABLE_SIDE_NODES_H_
#define WEAKREF_INTERNAL_TABLE_SIDE_NODES_H_

#include <cstddef>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "weakref/internal/death_node.h"

namespace weakref::internal::table {

template <class Sync>
class SideNodes {
 public:
  using Block = BasicControlBlock<Sync>;
  using Node = DeathNode<Sync>;

  // Lists `node` first. Returns cancelled nodes that were taken out: Drop() them outside the mutex.
  // Throws: std::bad_alloc; nothing is listed then.
  [[nodiscard]] Node* AddLocked(const Block* entry, Node* node) {
    if (lists_ == nullptr) lists_ = std::make_unique<Lists>();
    List& list = (*lists_)[entry];
    Node* swept = nullptr;
    if (list.size >= list.sweep_at) {
      Node* live = nullptr;
      Node* tail = nullptr;
      list.size = 0;
      for (Node* n = list.head; n != nullptr;) {
        Node* next = n->next.Get();
        if (n->ops->is_cancelled(n)) {
          n->next.Set(swept);
          swept = n;
        } else {
          AppendTo(&live, &tail, n);
          ++list.size;
        }
        n = next;
      }
      list.head = live;
      list.sweep_at = list.size * 2 < kMinSweep ? kMinSweep : list.size * 2;
    }
    node->next.Set(list.head);
    list.head = node;
    ++list.size;
    return swept;
  }

  // Takes all nodes of `entry`, newest first.
  Node* TakeLocked(const Block* entry) {
    if (lists_ == nullptr) return nullptr;
    const auto it = lists_->find(entry);
    if (it == lists_->end()) return nullptr;
    Node* head = it->second.head;
    lists_->erase(it);
    return head;
  }

  static void Drop(Node* swept) {
    while (swept != nullptr) {
      Node* next = swept->next.Get();
      swept->ops->drop(swept);
      swept = next;
    }
  }

 private:
  static constexpr size_t kMinSweep = 16;
  struct List {
    Node* head = nullptr;
    size_t size = 0;
    size_t sweep_at = kMinSweep;
  };
  using Lists = absl::flat_hash_map<const Block*, List>;

  static void AppendTo(Node** head, Node** tail, Node* node) {
    node->next.Set(nullptr);
    if (*head == nullptr) {
      *head = node;
    } else {
      (*tail)->next.Set(node);
    }
    *tail = node;
  }

  std::unique_ptr<Lists> lists_;
};

}  // namespace weakref::internal::table

#endif  // WEAKREF_INTERNAL_TABLE_SIDE_NODES_H_
