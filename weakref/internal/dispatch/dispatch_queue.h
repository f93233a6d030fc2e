// An intrusive queue of things to run, and the ticket that an executor runs to drain it.
//
// The queue lives in the library; an executor never carries work, it only wakes a drain. So
// enqueueing allocates nothing, and what an executor failed to run waits here for the next wake or
// for Drain(). Items are run in the order they came, one at a time, under no lock.

#ifndef WEAKREF_INTERNAL_DISPATCH_DISPATCH_QUEUE_H_
#define WEAKREF_INTERNAL_DISPATCH_DISPATCH_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "weakref/internal/sync.h"

namespace weakref::internal {

// Something that a queue can run once. The queue owns it until `run` is called.
template <class Sync>
struct DispatchItem {
  explicit DispatchItem(void (*run_it)(DispatchItem*) noexcept) : run(run_it) {}

  void (*const run)(DispatchItem*) noexcept;
  typename Sync::template Cell<DispatchItem*> next_item;
};

template <class Sync>
class DispatchQueue {
 public:
  using Item = DispatchItem<Sync>;

  DispatchQueue() = default;
  DispatchQueue(const DispatchQueue&) = delete;
  DispatchQueue& operator=(const DispatchQueue&) = delete;
  ~DispatchQueue() { Drain(); }

  // Returns whether the caller has to wake a drain: nobody runs one, no wake is pending.
  [[nodiscard]] bool Enqueue(Item* item) {
    item->next_item.Set(nullptr);
    typename Sync::MutexLock lock(&mutex_);
    if (tail_ == nullptr) {
      head_ = item;
    } else {
      tail_->next_item.Set(item);
    }
    tail_ = item;
    ++size_;
    if (wake_pending_ || draining_) return false;
    wake_pending_ = true;
    return true;
  }

  // Runs items until none is left, unless another thread is at it already (then that one runs
  // them). Returns how many this call ran.
  size_t Drain() {
    size_t ran = 0;
    for (Item* item = Begin(); item != nullptr; item = Next()) {
      item->run(item);
      ++ran;
    }
    return ran;
  }

  // A wake that will not lead to a drain.
  void WakeLost() {
    typename Sync::MutexLock lock(&mutex_);
    wake_pending_ = false;
    ++lost_wakes_;
  }

  size_t size() const {
    typename Sync::MutexLock lock(&mutex_);
    return size_;
  }
  uint64_t lost_wakes() const {
    typename Sync::MutexLock lock(&mutex_);
    return lost_wakes_;
  }

 private:
  Item* Begin() {
    typename Sync::MutexLock lock(&mutex_);
    wake_pending_ = false;
    if (draining_ || head_ == nullptr) return nullptr;
    draining_ = true;
    return PopLocked();
  }
  Item* Next() {
    typename Sync::MutexLock lock(&mutex_);
    if (head_ != nullptr) return PopLocked();
    draining_ = false;
    return nullptr;
  }
  Item* PopLocked() {
    Item* item = head_;
    head_ = item->next_item.Get();
    if (head_ == nullptr) tail_ = nullptr;
    --size_;
    return item;
  }

  mutable typename Sync::Mutex mutex_;
  Item* head_ = nullptr;
  Item* tail_ = nullptr;
  size_t size_ = 0;
  uint64_t lost_wakes_ = 0;
  bool wake_pending_ = false;
  bool draining_ = false;
};

}  // namespace weakref::internal

#endif  // WEAKREF_INTERNAL_DISPATCH_DISPATCH_QUEUE_H_
