// Get-or-create on live keys, and churn, against what users would write themselves.
//
// Fair, because every contestant runs the same loop: draw a key, get a handle, read the value, drop
// the handle. Live keys are held by the benchmark, so that each get is a hit and each drop is not
// the last. In churn nobody holds anything: each get creates and each drop destroys and purges.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/contestants.h"
#include "benchmark/benchmark.h"

namespace weakref::bench {
namespace {

// Draws 64-bit numbers in a few cycles (xorshift64*, Vigna 2016).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}
  uint64_t Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1d;
  }
  uint64_t Below(uint64_t n) {
    __extension__ using Uint128 = unsigned __int128;
    return static_cast<uint64_t>((static_cast<Uint128>(Next()) * n) >> 64);
  }

 private:
  uint64_t state_;
};

// Keys drawn beforehand, exponent 0.99; which keys are popular is scattered.
std::vector<uint32_t> ZipfKeys(size_t keys, size_t draws) {
  std::vector<double> sums(keys);
  double sum = 0;
  for (size_t i = 0; i < keys; ++i) {
    sum += 1.0 / std::pow(static_cast<double>(i + 1), 0.99);
    sums[i] = sum;
  }
  Random random(1);
  std::vector<uint32_t> scattered(keys);
  for (size_t i = 0; i < keys; ++i) scattered[i] = static_cast<uint32_t>(i);
  for (size_t i = keys; i > 1; --i) std::swap(scattered[i - 1], scattered[random.Below(i)]);
  std::vector<uint32_t> drawn(draws);
  for (uint32_t& key : drawn) {
    const double at = static_cast<double>(random.Next() >> 11) * 0x1p-53 * sum;
    const auto it = std::lower_bound(sums.begin(), sums.end(), at);
    key = scattered[static_cast<size_t>(it - sums.begin()) % keys];
  }
  return drawn;
}

constexpr size_t kDraws = 1 << 16;

enum class Workload { kUniform, kHot, kZipf, kChurn };

// Shared by the threads of one run.
template <class Contestant>
struct Run {
  explicit Run(size_t keys, Workload workload) : contestant(keys) {
    if (workload != Workload::kChurn) {
      const size_t held_keys = workload == Workload::kHot ? 1 : keys;
      for (size_t key = 0; key < held_keys; ++key) held.push_back(contestant.Get(key));
    }
    if (workload == Workload::kZipf) zipf = ZipfKeys(keys, kDraws);
  }
  Contestant contestant;
  std::vector<typename Contestant::Handle> held;
  std::vector<uint32_t> zipf;
};

template <class Contestant>
std::unique_ptr<Run<Contestant>> shared_run;

template <class Contestant, Workload kWorkload>
void SetUp(const benchmark::State& state) {
  // libstdc++ counts without atomics in a process that never had a second thread.
  std::thread([] {}).join();
  shared_run<Contestant> =
      std::make_unique<Run<Contestant>>(static_cast<size_t>(state.range(0)), kWorkload);
}
template <class Contestant>
void TearDown(const benchmark::State&) {
  shared_run<Contestant>.reset();
}

template <class Contestant, Workload kWorkload>
void Loop(benchmark::State& state) {
  Run<Contestant>& run = *shared_run<Contestant>;
  const auto keys = static_cast<uint64_t>(state.range(0));
  const auto thread = static_cast<uint64_t>(state.thread_index());
  Random random(thread + 42);
  size_t at = thread * 7919;
  uint64_t sum = 0;
  for (auto _ : state) {
    uint64_t key = 0;
    if constexpr (kWorkload == Workload::kUniform || kWorkload == Workload::kChurn) {
      key = random.Below(keys);
    } else if constexpr (kWorkload == Workload::kZipf) {
      key = run.zipf[at++ % kDraws];
    }
    auto handle = run.contestant.Get(key);
    sum += handle->words[0];
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations());
}

template <class Contestant, Workload kWorkload>
void Register(const std::string& operation, std::vector<int64_t> key_counts) {
  for (const int64_t keys : key_counts) {
    for (const int threads : {1, 2, 16}) {
      benchmark::RegisterBenchmark(
          ("BM_" + std::string(Contestant::kName) + "_" + operation).c_str(),
          &Loop<Contestant, kWorkload>)
          ->ArgNames({"keys"})
          ->Args({keys})
          ->Threads(threads)
          ->MinTime(0.1)
          ->UseRealTime()
          ->Setup(&SetUp<Contestant, kWorkload>)
          ->Teardown(&TearDown<Contestant>);
    }
  }
}

template <class Contestant>
void RegisterHits() {
  Register<Contestant, Workload::kUniform>("UniformHit", {10'000, 100'000, 1'000'000});
  Register<Contestant, Workload::kHot>("HotKey", {1});
  Register<Contestant, Workload::kZipf>("Zipf99Hit", {100'000});
}
template <class Contestant>
void RegisterAll() {
  RegisterHits<Contestant>();
  Register<Contestant, Workload::kChurn>("Churn", {100'000});
}

}  // namespace
}  // namespace weakref::bench

int main(int argc, char** argv) {
  using namespace weakref::bench;  // NOLINT
  RegisterAll<Ours>();
  RegisterAll<MutexMap>();
  RegisterAll<ShardedFlatMap>();
  RegisterHits<Floor>();  // it has nothing to create
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
