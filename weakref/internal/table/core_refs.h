// The shared core of a table's owner: it lives as long as the owner or any entry's memory.

#ifndef WEAKREF_INTERNAL_TABLE_CORE_REFS_H_
#define WEAKREF_INTERNAL_TABLE_CORE_REFS_H_

#include <atomic>
#include <cstdint>

namespace weakref::internal::table {

// Counted: the owner, each shard that has entries, each blocked or running call that may outlive
// the owner. Rarely changed, so one counter.
template <class Sync>
class CoreRefs {
 public:
  CoreRefs() = default;
  CoreRefs(const CoreRefs&) = delete;
  CoreRefs& operator=(const CoreRefs&) = delete;

  void Add() {
    refs_.fetch_add(1, std::memory_order_relaxed);  // relaxed: the caller has a share, or the owner
  }
  void Drop() {
    // [core.acq_rel] pairs with itself; carries every user's accesses to the one who deletes;
    // breaks TableModel.CoreOutlivesEntries.
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  // Keeps a core for a scope.
  class Share {
   public:
    explicit Share(CoreRefs* core) : core_(core) { core_->Add(); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share() { core_->Drop(); }

   private:
    CoreRefs* const core_;
  };

 protected:
  virtual ~CoreRefs() = default;

 private:
  typename Sync::template Atomic<uint64_t> refs_{1};
};

}  // namespace weakref::internal::table

#endif  // WEAKREF_INTERNAL_TABLE_CORE_REFS_H_
