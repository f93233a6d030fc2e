// One load in flight, and those who wait for it.
//
//   absent --Begin--> LOADING --Publish--> live     all who joined get the object
//                        |----Fail-----> absent     all who joined get the failure
//                        |----Fence----> (detached) Invalidate, Insert, the cache's end: the load
//                        |                          goes on for those who joined; nobody finds it
//                        `----Abandon--> absent     the last waiter of an asynchronous load left
//
// Continuation-based: a blocking caller is one waiter with a latch, an asynchronous one a waiter
// with a completion. Everything here is guarded by the entry's shard's mutex; so joining, the last
// one's leaving and completion are one atomic step each. Waiters are completed outside of it.

#ifndef WEAKREF_CACHE_INTERNAL_LOAD_RECORD_H_
#define WEAKREF_CACHE_INTERNAL_LOAD_RECORD_H_

#include <atomic>
#include <cstdint>
#include <exception>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/status/status.h"
#include "weakref/internal/control_block.h"

namespace weakref::internal {

// Why there is no object. `exception` is set if a loader threw: the same object for every waiter.
struct LoadFailure {
  absl::Status status;
  std::exception_ptr exception;
};

// An object and a strong count on its block that belongs to whoever has this.
template <class Sync>
struct Found {
  BasicControlBlock<Sync>* block = nullptr;
  void* object = nullptr;
};

template <class Sync>
class LoadRecord;

// Somebody who waits. Linked into its record while listed.
template <class Sync>
class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // The thread that runs the awaited load, null if it is asynchronous. Valid once listed.
  const void* leader() const { return leader_; }

  // Exactly one of the two is called, once, under no lock, by the thread that ends the load or the
  // wait. Either may destroy the waiter.
  virtual void Succeed(Found<Sync> found) noexcept = 0;  // takes over found's strong count
  virtual void Fail(const LoadFailure& failure) noexcept = 0;

 protected:
  virtual ~Waiter() = default;

 private:
  friend class LoadRecord<Sync>;
  LoadRecord<Sync>* record_ = nullptr;  // null: not listed
  const void* leader_ = nullptr;
  Waiter* previous_ = nullptr;
  Waiter* next_ = nullptr;
};

template <class Sync>
class LoadRecord {
 public:
  using Block = BasicControlBlock<Sync>;

  // `leader` runs the loader and cannot leave before it returns; null for an asynchronous load,
  // which ends when nobody waits any more.
  explicit LoadRecord(const void* leader) : leader_(leader) {
    if (leader == nullptr) {
      stop_.emplace();
      // relaxed: only to differ.
      id_ = next_id_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  LoadRecord(const LoadRecord&) = delete;
  LoadRecord& operator=(const LoadRecord&) = delete;

  const void* leader() const { return leader_; }
  // Asynchronous loads: a number that no other load of the process ever has; else 0.
  uint64_t id() const { return id_; }
  // Asynchronous loads: stopped when the last waiter has left, or the cache has ended.
  std::stop_token stop_token() const { return stop_ ? stop_->get_token() : std::stop_token(); }
  std::optional<std::stop_source> stop_source() const { return stop_; }

  // Set when the load begins; then constant.
  Block* entry = nullptr;
  uintptr_t generation = 0;

  // ---- under the mutex ----

  bool in_table = false;  // false: fenced, or not yet begun

  void AddLocked(Waiter<Sync>* waiter) {
    waiter->record_ = this;
    waiter->leader_ = leader_;
    waiter->previous_ = last_;
    waiter->next_ = nullptr;
    (last_ == nullptr ? first_ : last_->next_) = waiter;
    last_ = waiter;
    ++waiters_;
  }
  // Returns the record that `waiter` was listed in, or null if it was listed in none any more.
  static LoadRecord* RemoveLocked(Waiter<Sync>* waiter) {
    LoadRecord* record = std::exchange(waiter->record_, nullptr);
    if (record == nullptr) return nullptr;
    (waiter->previous_ == nullptr ? record->first_ : waiter->previous_->next_) = waiter->next_;
    (waiter->next_ == nullptr ? record->last_ : waiter->next_->previous_) = waiter->previous_;
    --record->waiters_;
    return record;
  }
  uint64_t waiters() const { return waiters_; }

  // Unlists all; the result is walked with NextOf.
  Waiter<Sync>* TakeAllLocked() {
    for (Waiter<Sync>* w = first_; w != nullptr; w = w->next_) w->record_ = nullptr;
    waiters_ = 0;
    last_ = nullptr;
    return std::exchange(first_, nullptr);
  }
  static Waiter<Sync>* NextOf(const Waiter<Sync>* waiter) { return waiter->next_; }

  static void SucceedAll(Waiter<Sync>* waiters, Found<Sync> found) noexcept {
    while (waiters != nullptr) {
      Waiter<Sync>* next = waiters->next_;  // Succeed may destroy the waiter
      waiters->Succeed(found);
      waiters = next;
    }
  }
  static void FailAll(Waiter<Sync>* waiters, const LoadFailure& failure) noexcept {
    while (waiters != nullptr) {
      Waiter<Sync>* next = waiters->next_;
      waiters->Fail(failure);
      waiters = next;
    }
  }

 protected:
  ~LoadRecord() = default;

 private:
  static inline typename Sync::template Atomic<uint64_t> next_id_{1};

  const void* const leader_;
  uint64_t id_ = 0;
  std::optional<std::stop_source> stop_;
  Waiter<Sync>* first_ = nullptr;
  Waiter<Sync>* last_ = nullptr;
  uint64_t waiters_ = 0;
};

// An asynchronous load whose `start` runs on this thread. A completion that `start` drops is not
// completed on the spot, so that what it threw can be told instead; and a blocking request of it
// for the same key would wait for itself.
struct StartFrame {
  uint64_t id;  // LoadRecord::id
  bool dropped;
  StartFrame* outer;

  struct Innermost {
    StartFrame* frame;
  };
  template <class Sync>
  static StartFrame* Find(uint64_t id) {
    StartFrame* frame = Sync::template Local<Innermost>().frame;
    while (frame != nullptr && frame->id != id) frame = frame->outer;
    return frame;
  }
};

}  // namespace weakref::internal

#endif  // WEAKREF_CACHE_INTERNAL_LOAD_RECORD_H_
