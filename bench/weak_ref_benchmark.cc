// What references cost, against std::shared_ptr and std::weak_ptr, and against one uncontended
// fetch_add (the floor), which is the unit in which the costs are stated.

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "benchmark/benchmark.h"
#include "weakref/make_strong.h"
#include "weakref/strong_ref.h"
#include "weakref/weak_ref.h"

namespace weakref::bench {
namespace {

struct Value {
  uint64_t words[3] = {};
};

struct Ours {
  static constexpr char kName[] = "WeakRef";
  using Strong = StrongRef<Value>;
  using Weak = WeakRef<Value>;
  static Strong Make() { return MakeStrong<Value>(); }
};
struct Std {
  static constexpr char kName[] = "StdWeakPtr";
  using Strong = std::shared_ptr<Value>;
  using Weak = std::weak_ptr<Value>;
  static Strong Make() { return std::make_shared<Value>(); }
};

template <class R>
struct Shared {
  typename R::Strong strong = R::Make();
  typename R::Weak weak{strong};
  typename R::Weak dead{R::Make()};
};
template <class R>
Shared<R>& Global() {
  static Shared<R> shared;
  return shared;
}

template <class R>
void CopyRelease(benchmark::State& state) {
  const typename R::Strong& strong = Global<R>().strong;
  for (auto _ : state) {
    typename R::Strong copy(strong);
    benchmark::DoNotOptimize(copy);
  }
}

template <class R>
void LockRelease(benchmark::State& state) {
  const typename R::Weak& weak = Global<R>().weak;
  for (auto _ : state) {
    typename R::Strong strong = weak.lock();
    benchmark::DoNotOptimize(strong);
  }
}

template <class R>
void LockDead(benchmark::State& state) {
  const typename R::Weak& weak = Global<R>().dead;
  for (auto _ : state) {
    typename R::Strong strong = weak.lock();
    benchmark::DoNotOptimize(strong);
  }
}

template <class R>
void WeakCopyDrop(benchmark::State& state) {
  const typename R::Weak& weak = Global<R>().weak;
  for (auto _ : state) {
    typename R::Weak copy(weak);
    benchmark::DoNotOptimize(copy);
  }
}

template <class R>
void MakeDrop(benchmark::State& state) {
  for (auto _ : state) {
    typename R::Strong strong = R::Make();
    benchmark::DoNotOptimize(strong);
  }
}

template <class R>
void MakeWeakDrop(benchmark::State& state) {
  for (auto _ : state) {
    typename R::Weak weak;
    {
      typename R::Strong strong = R::Make();
      benchmark::DoNotOptimize(strong);
      weak = strong;
    }
    benchmark::DoNotOptimize(weak);
  }
}

// One uncontended fetch_add: u.
void OneFetchAdd(benchmark::State& state) {
  static std::atomic<uint64_t> word{0};
  for (auto _ : state) word.fetch_add(1, std::memory_order_relaxed);
}
// u up and u down: what copy + release and lock + release cannot be below.
void UpDown(benchmark::State& state) {
  static std::atomic<uint64_t> word{0};
  for (auto _ : state) {
    word.fetch_add(1, std::memory_order_relaxed);
    word.fetch_sub(1, std::memory_order_release);
  }
}
void MallocFree(benchmark::State& state) {
  for (auto _ : state) {
    void* memory = std::malloc(56);  // NOLINT: the pair itself is what is measured
    benchmark::DoNotOptimize(memory);
    std::free(memory);  // NOLINT
  }
}

void Add(const std::string& subject, const std::string& operation,
         void (*function)(benchmark::State&), std::initializer_list<int> threads = {1}) {
  for (const int n : threads) {
    benchmark::RegisterBenchmark(("BM_" + subject + "_" + operation).c_str(), function)
        ->Threads(n)
        ->MinTime(0.1)
        ->UseRealTime();
  }
}

template <class R>
void AddAll() {
  Add(R::kName, "CopyRelease", &CopyRelease<R>, {1, 2});
  Add(R::kName, "LockRelease", &LockRelease<R>, {1, 2});
  Add(R::kName, "LockDead", &LockDead<R>);
  Add(R::kName, "WeakCopyDrop", &WeakCopyDrop<R>, {1, 2});
  Add(R::kName, "MakeDrop", &MakeDrop<R>);
  Add(R::kName, "MakeWeakDrop", &MakeWeakDrop<R>);
}

}  // namespace
}  // namespace weakref::bench

int main(int argc, char** argv) {
  using namespace weakref::bench;  // NOLINT
  // libstdc++ counts without atomics in a process that never had a second thread.
  std::thread([] {}).join();
  AddAll<Ours>();
  AddAll<Std>();
  Add("Floor", "LockDead", &OneFetchAdd);
  for (const char* operation : {"CopyRelease", "LockRelease", "WeakCopyDrop"}) {
    Add("Floor", operation, &UpDown, {1, 2});
  }
  for (const char* operation : {"MakeDrop", "MakeWeakDrop"}) Add("Floor", operation, &MallocFree);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
