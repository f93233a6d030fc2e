// Sync policies (weakref/internal/sync.h) for tests that one thread drives step by step.
//
//   NarrowSync    counters of 8 bits: a few hundred operations reach what takes years in 64
//   SteppedSync   runs a function of the test's right after the next chosen atomic operation of
//   this
//                 thread: whatever another thread could have done there is done there, every time
//   SwitchSync    heavy barriers that fail when the test says so; what it allocates is counted, and
//                 an allocation can run a function of the test's

#ifndef WEAKREF_TESTS_SUPPORT_TEST_SYNCS_H_
#define WEAKREF_TESTS_SUPPORT_TEST_SYNCS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "weakref/internal/sync.h"

namespace weakref::support {

struct NarrowSync : internal::RealSync {
  using StrongWord = uint16_t;  // eight bits of flags, eight of count
  using WeakWord = uint8_t;
};

struct SteppedSync : internal::RealSync {
  enum class Op {
    kLoad,
    kStore,
    kExchange,
    kCompareExchange,
    kFetchAdd,
    kFetchSub,
    kFetchOr,
    kFetchAnd
  };

  // `then` runs once, after the next `op` of this thread on a variable of `size` bytes.
  static void After(Op op, size_t size, std::function<void()> then) {
    pending = {op, size, std::move(then)};
  }
  static bool IsPending() { return pending.then != nullptr; }

  // Read-modify-writes of this thread since `f` began: what an operation costs.
  template <class F>
  static int CountRmws(F&& f) {
    const int before = rmws;
    f();
    return rmws - before;
  }

  template <class T>
  class Atomic {
   public:
    constexpr Atomic() = default;
    constexpr Atomic(T value) : value_(value) {}  // NOLINT(google-explicit-constructor)

    T load(std::memory_order order) const { return Step(Op::kLoad, value_.load(order)); }
    void store(T value, std::memory_order order) {
      value_.store(value, order);
      Step(Op::kStore, true);
    }
    T exchange(T value, std::memory_order order) {
      return Step(Op::kExchange, value_.exchange(value, order));
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order success,
                                 std::memory_order failure) {
      return Step(Op::kCompareExchange,
                  value_.compare_exchange_strong(expected, desired, success, failure));
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order success,
                               std::memory_order failure) {
      return compare_exchange_strong(expected, desired, success, failure);
    }
    T fetch_add(T n, std::memory_order order) {
      return Step(Op::kFetchAdd, value_.fetch_add(n, order));
    }
    T fetch_sub(T n, std::memory_order order) {
      return Step(Op::kFetchSub, value_.fetch_sub(n, order));
    }
    T fetch_or(T bits, std::memory_order order) {
      return Step(Op::kFetchOr, value_.fetch_or(bits, order));
    }
    T fetch_and(T bits, std::memory_order order) {
      return Step(Op::kFetchAnd, value_.fetch_and(bits, order));
    }

   private:
    template <class R>
    static R Step(Op op, R result) {
      if (op != Op::kLoad && op != Op::kStore) ++rmws;
      if (pending.then != nullptr && pending.op == op && pending.size == sizeof(T)) {
        std::exchange(pending.then, nullptr)();
      }
      return result;
    }

    std::atomic<T> value_{};
  };

 private:
  struct Pending {
    Op op;
    size_t size;
    std::function<void()> then;
  };
  static inline thread_local Pending pending{};
  static inline thread_local int rmws = 0;
};

struct SwitchSync : internal::RealSync {
  static bool HeavyBarrier() {
    ++heavy_barriers;
    return !heavy_barrier_fails;
  }
  static void* Allocate(size_t size, size_t align) {
    if (on_allocate != nullptr) std::exchange(on_allocate, nullptr)();
    void* memory = RealSync::Allocate(size, align);
    ++live_allocations;
    return memory;
  }
  static void Deallocate(void* p, size_t size, size_t align) {
    --live_allocations;
    RealSync::Deallocate(p, size, align);
  }

  static inline std::atomic<bool> heavy_barrier_fails{false};
  static inline std::atomic<int> heavy_barriers{0};
  static inline std::atomic<int> live_allocations{0};
  static inline std::function<void()> on_allocate;  // runs once; one thread
};

}  // namespace weakref::support

#endif  // WEAKREF_TESTS_SUPPORT_TEST_SYNCS_H_
