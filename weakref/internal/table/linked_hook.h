// What takes a linked entry out of its table when the object it names dies.
//
// A death node of the target's block; it owns the entry's two tokens. It unlinks the entry once the
// target is closed, before its destructor, and retires it after that; or, when the entry has left
// the table earlier (its state is dead), retires it when it is swept.

#ifndef WEAKREF_INTERNAL_TABLE_LINKED_HOOK_H_
#define WEAKREF_INTERNAL_TABLE_LINKED_HOOK_H_

#include "weakref/internal/table/shard.h"

namespace weakref::internal::table {

template <class Sync>
class LinkedHook final : public DeathNode<Sync> {
 public:
  using Block = BasicControlBlock<Sync>;

  explicit LinkedHook(Block* entry) : DeathNode<Sync>(&kOps), entry_(entry) {}

  // Registers this with `target`, of which the caller has a strong count; `target` owns it then.
  // Throws: std::bad_alloc (target in a cache); nothing is registered then.
  void Register(Block* target) {
    if (target->ops()->add_death_node != nullptr) {
      target->ops()->add_death_node(target, this);
    } else {
      DeathList<Sync>::MaybeSweep(target);
      DeathList<Sync>::Push(target, this);
    }
  }

 private:
  using Node = DeathNode<Sync>;
  static LinkedHook* Self(Node* node) { return static_cast<LinkedHook*>(node); }

  static void OnClosed(Node* node) noexcept {
    Block* entry = Self(node)->entry_;
    auto* shard = Shard<Sync>::Of(entry);
    typename Sync::MutexLock lock(&shard->mutex());
    shard->UnlinkLocked(entry);
  }
  static void Retire(Node* node) noexcept {
    Block* entry = Self(node)->entry_;
    delete Self(node);
    Shard<Sync>::Of(entry)->RetireEntry(entry);
  }
  static bool IsCancelled(const Node* node) noexcept {
    return ReadState(static_cast<const LinkedHook*>(node)->entry_).dead();
  }

  static constexpr typename Node::Ops kOps = {&OnClosed, &Retire, &IsCancelled, &Retire};

  Block* const entry_;
};

}  // namespace weakref::internal::table

#endif  // WEAKREF_INTERNAL_TABLE_LINKED_HOOK_H_
