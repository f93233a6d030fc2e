// The seam between the lock-free classes and the machine they run on.
//
// Internal classes take a `Sync` policy, so that a model checker can run the very code that ships
// under every interleaving. The policy never shows in a public type: public headers use `RealSync`.
//
// A policy has
//   Atomic<T>                     std::atomic's interface, every order spelled out
//   Cell<T>                       a plain, unsynchronised variable (a checker reports races on it)
//   Mutex, MutexLock              mutual exclusion
//   Event                         a one-shot latch: Notify() once, Wait() until then
//   StrongWord, WeakWord          unsigned types of the two counters
//   kFlagBits                     low bits of StrongWord that are flags
//   Local<T>()                    this thread's T; T is trivially destructible,
//   constant-initialised ThreadId()                    an address that identifies this thread while
//   it lives LightBarrier(), HeavyBarrier()   the asymmetric pair
//   (weakref/internal/epoch/barrier.h) Allocate(size, align), Deallocate(p, size, align)
//
// `RealSync` is the one that ships.

#ifndef WEAKREF_INTERNAL_SYNC_H_
#define WEAKREF_INTERNAL_SYNC_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <stop_token>
#include <type_traits>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "weakref/internal/epoch/barrier.h"

namespace weakref::internal {

struct RealSync {
  template <class T>
  using Atomic = std::atomic<T>;

  // A variable that the protocol, not the hardware, protects.
  template <class T>
  class Cell {
   public:
    constexpr Cell() = default;
    constexpr explicit Cell(T value) : value_(value) {}
    T Get() const { return value_; }
    void Set(T value) { value_ = value; }

   private:
    T value_{};
  };

  using Mutex = absl::Mutex;
  using MutexLock = absl::MutexLock;

  // Notify() happens before the return of every Wait() that it ends. The notifier may free whatever
  // it likes after Notify(); the waiter may destroy the event as soon as Wait() has returned.
  class Event {
   public:
    void Notify() {
      absl::MutexLock lock(&mutex_);
      set_ = true;
    }
    void Wait() { mutex_.LockWhen(absl::Condition(&set_)), mutex_.Unlock(); }
    // Returns whether the event was notified before `deadline`.
    bool WaitUntil(absl::Time deadline) {
      const bool set = mutex_.LockWhenWithDeadline(absl::Condition(&set_), deadline);
      mutex_.Unlock();
      return set;
    }

   private:
    absl::Mutex mutex_;
    bool set_ = false;
  };

  using StrongWord = uint64_t;
  using WeakWord = uint32_t;
  static constexpr int kFlagBits = 8;

  // Trivially destructible and constant-initialised: usable at any point of a thread's exit.
  template <class T>
  static T& Local() {
    static_assert(std::is_trivially_destructible_v<T>);
    static constinit thread_local T local{};
    return local;
  }

  static const void* ThreadId() { return &Local<char>(); }

  static void LightBarrier() { epoch::LightBarrier(); }
  static bool HeavyBarrier() { return epoch::HeavyBarrier(); }

  static absl::Time Now() { return absl::Now(); }

  static void* Allocate(size_t size, size_t align) {
    return ::operator new(size, std::align_val_t(align));
  }
  static void Deallocate(void* p, size_t size, size_t align) {
    ::operator delete(p, size, std::align_val_t(align));
  }
};

}  // namespace weakref::internal

#endif  // WEAKREF_INTERNAL_SYNC_H_
