// Readers and reclaimers under threads: what a reader found inside a guard is not given back.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/run_threads.h"
#include "tests/support/stress_scale.h"
#include "tests/support/test_block.h"
#include "tests/support/test_seed.h"
#include "tests/support/test_syncs.h"
#include "weakref/internal/epoch/barrier.h"
#include "weakref/internal/epoch/domain.h"
#include "weakref/internal/epoch/guard.h"

namespace weakref::internal::epoch {
namespace {

using support::BlockLog;
using support::RunThreads;
using support::ScaledIterations;
using support::SwitchSync;
using support::TestBlock;

// Barriers that are real until the test makes them fail.
struct FailingSync : RealSync {
  static bool HeavyBarrier() { return !fails && RealSync::HeavyBarrier(); }
  static inline std::atomic<bool> fails{false};
};

// A "table" of some pointers that writers replace and readers follow. An entry that was given back
// says so in a word of its own, which is kept apart so that looking is allowed.
template <class Sync>
class Places {
 public:
  using Block = TestBlock<Sync>;
  static constexpr int kPlaces = 16;

  explicit Places(int entries) : logs_(static_cast<size_t>(entries)) {
    for (auto& place : places_) place.store(Make());
  }

  // Reader: true unless it met an entry that had been given back.
  bool Look(uint64_t random) const {
    const Block* found = places_[random % kPlaces].load(std::memory_order_acquire);
    // Reads the entry itself: AddressSanitizer watches, and ThreadSanitizer the plain pointer.
    const BlockLog* log = found->log();
    return log->freed.load(std::memory_order_relaxed) == 0 && found->IsClosed() &&
           log == found->log();
  }

  // Writer: takes an entry out and puts a new one in; null when the supply is used up.
  Block* Replace(uint64_t random) {
    Block* fresh = Make();
    if (fresh == nullptr) return nullptr;
    return places_[random % kPlaces].exchange(fresh, std::memory_order_acq_rel);
  }

  std::vector<Block*> TakeAll() {
    std::vector<Block*> all;
    for (auto& place : places_) all.push_back(place.exchange(nullptr));
    return all;
  }

  int used() const { return std::min<int>(next_, static_cast<int>(logs_.size())); }
  int freed() const {
    int sum = 0;
    for (const BlockLog& log : logs_) sum += log.freed;
    return sum;
  }

 private:
  Block* Make() {
    const int i = next_.fetch_add(1);
    if (i >= static_cast<int>(logs_.size())) return nullptr;
    Block* block = Block::MakeListed(&logs_[i]);
    block->CloseUnpublished();
    return block;
  }

  std::vector<BlockLog> logs_;
  std::atomic<int> next_{0};
  std::atomic<Block*> places_[kPlaces];
};

// Oracle of all tests here: no reader meets an entry that was given back; at the end, with nobody
// inside, every entry has been given back exactly once (a second time would be a double free).

template <class Sync>
void RunDomain(Domain<Sync>& domain, std::atomic<bool>* change_at_half) {
  constexpr int kReaders = 3;
  const uint64_t seed = support::TestSeed();
  const int entries = ScaledIterations(40'000);
  Places<Sync> places(entries);
  std::atomic<bool> done{false};
  std::atomic<bool> failed{false};
  std::atomic<uint64_t> looks{0};
  RunThreads(kReaders + 1, [&](int thread) {
    std::mt19937_64 random(seed + static_cast<uint64_t>(thread));
    auto* slot = domain.AcquireSlot();
    if (thread == 0) {
      for (int n = 0;; ++n) {
        domain.Enter(slot);  // a writer looks, too
        auto* old = places.Replace(random());
        domain.Leave(slot);
        if (old == nullptr) break;
        if (domain.Retire(old, random(), 64, slot) || n % 100 == 0) domain.TryReclaim();
        // So that readers come in between, on machines with few cores too.
        const uint64_t seen = looks;
        while (n % 256 == 0 && looks == seen) std::this_thread::yield();
        if (change_at_half != nullptr && n == entries / 2) *change_at_half = true;
      }
      done = true;
    } else {
      for (int n = 0; !done; ++n) {
        if (thread == 2 && n % 512 == 0) {  // as threads that come and go
          domain.ReleaseSlot(slot);
          slot = domain.AcquireSlot();
        }
        if (thread == 3 && n % 8 == 0) {  // as a reader that could get no slot
          domain.EnterShared();
          if (!places.Look(random())) failed = true;
          domain.LeaveShared();
          continue;
        }
        domain.Enter(slot);
        for (uint64_t k = random() % 4; k > 0; --k) {
          if (!places.Look(random())) failed = true;
        }
        domain.Leave(slot);
        ++looks;
      }
    }
    domain.ReleaseSlot(slot);
  });
  EXPECT_FALSE(failed);
  const int before_end = places.freed();
  EXPECT_GT(before_end, 0) << "nothing was reclaimed while readers were about";
  for (auto* block : places.TakeAll()) (void)domain.Retire(block, 0, 64, nullptr);
  EXPECT_TRUE(domain.TryReclaim() || domain.TryReclaim() || domain.TryReclaim());
  EXPECT_EQ(places.freed(), places.used());
  std::printf("%d of %d were given back meanwhile\n", before_end, places.used());
}

TEST(EpochStress, ExchangingReadersKeepWhatTheyFound) {
  static constinit Domain<RealSync> domain;
  RunDomain(domain, nullptr);
}

TEST(EpochStress, AsymmetricReadersKeepWhatTheyFound) {
  if (!HeavyBarrierAvailable()) GTEST_SKIP() << "no membarrier here, or ThreadSanitizer";
  static constinit Domain<RealSync> domain;
  domain.UseAsymmetricBarrier();
  RunDomain(domain, nullptr);
}

TEST(EpochStress, ReadersKeepWhatTheyFoundWhileTheBarrierStartsToFail) {
  if (!HeavyBarrierAvailable()) GTEST_SKIP() << "no membarrier here, or ThreadSanitizer";
  static constinit Domain<FailingSync> domain;
  domain.UseAsymmetricBarrier();
  RunDomain(domain, &FailingSync::fails);
  EXPECT_FALSE(domain.asymmetric());
}

// The process' domain through guards: nested ones, threads that exit, several reclaimers.
TEST(EpochStress, GuardsOfThreadsThatComeAndGo) {
  constexpr int kThreads = 4;
  const uint64_t seed = support::TestSeed();
  Places<RealSync> places(ScaledIterations(50'000));
  std::atomic<bool> failed{false};
  std::atomic<int> generations{0};
  while (places.used() < ScaledIterations(50'000)) {
    ++generations;
    RunThreads(kThreads, [&](int thread) {
      std::mt19937_64 random(seed + static_cast<uint64_t>(generations * kThreads + thread));
      for (int i = 0; i < 200; ++i) {
        {
          const Guard<RealSync> outer;
          const bool nest = random() % 4 == 0;
          if (nest) {
            const Guard<RealSync> inner;
            if (!places.Look(random())) failed = true;
          }
          if (!places.Look(random())) failed = true;
        }
        if (thread % 2 == 0) {
          auto* old = places.Replace(random());
          if (old != nullptr) Retire<RealSync>(old, random(), 64);
          if (i % 50 == 0) global_domain<RealSync>.TryReclaim();
        }
      }
    });
  }
  EXPECT_FALSE(failed);
  for (auto* block : places.TakeAll()) Retire<RealSync>(block, 0, 64);
  auto& domain = global_domain<RealSync>;
  EXPECT_TRUE(domain.TryReclaim() || domain.TryReclaim() || domain.TryReclaim());
  EXPECT_EQ(places.freed(), places.used());
}

}  // namespace
}  // namespace weakref::internal::epoch
