// Everything at once: create, drop, insert, invalidate, iterate, start, stop, throw, resize,
// callbacks, destructors that use the cache; threads and caches come and go.
//
// Oracle, after every round, with all threads joined and every load ended:
//   - no operation gave an object that is not alive (canary), nor an inline one of another key;
//   - every request got exactly one answer, and an error only of a kind that was provoked;
//   - hits + misses = requests; no load is in flight;
//   - with everything dropped: no object, no entry, size 0;
//   - at the end, as much memory as after the first rounds.
// In every third round the cache ends first, and its objects and loads after it.

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/allocations.h"
#include "tests/support/cache/hashes.h"
#include "tests/support/cache/weak_value_cache_test_peer.h"
#include "tests/support/run_threads.h"
#include "tests/support/stress_scale.h"
#include "tests/support/test_seed.h"
#include "weakref/expiry_callback.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using Peer = WeakValueCacheTestPeer;

constexpr int kKeys = 64;
constexpr int kLinked = -1;

// What loaders throw. One object that is never freed: the last one to drop a shared exception frees
// it by a count in libstdc++.so, which ThreadSanitizer does not see.
[[noreturn]] void ThrowProvoked() {
  static const std::exception_ptr provoked =
      std::make_exception_ptr(std::runtime_error("provoked"));
  std::rethrow_exception(provoked);
}

template <class Hash>
class Round {
 public:
  class Object;
  using Cache = WeakValueCache<int, Object, Hash>;
  using Ref = StrongRef<Object>;
  using Result = absl::StatusOr<Ref>;
  using Completion = LoadCompletion<Object>;

  class Object {
   public:
    Object(Round* round, int key, bool reenters) : round_(round), key_(key), reenters_(reenters) {
      ++round->live_;
    }
    Object(Object&& other) noexcept
        : round_(std::exchange(other.round_, nullptr)),
          key_(other.key_),
          reenters_(other.reenters_) {}
    ~Object() {
      if (round_ == nullptr) return;
      EXPECT_EQ(canary_, kAlive) << "destroyed twice";
      if (reenters_ && round_->open_ && key_ != kLinked) {
        Cache& cache = *round_->cache_;
        const Ref found = cache.Find(key_);
        ++round_->requests_;
        EXPECT_NE(found.get(), this) << "a destructor found its own object";
        cache.Insert(key_ ^ 1, Object(round_, key_ ^ 1, false));
        cache.Invalidate(key_ ^ 1);
      }
      canary_ = 0;
      --round_->live_;
    }
    bool Is(int key) const { return canary_ == kAlive && (key_ == key || key_ == kLinked); }

   private:
    static constexpr uint64_t kAlive = 0xa11feed1ca11;
    Round* round_;
    int key_;
    bool reenters_;
    uint64_t canary_ = kAlive;
  };

  Round(uint64_t seed, size_t shards)
      : seed_(seed), cache_(std::make_unique<Cache>(CacheOptions{.shards = shards})) {
    for (int i = 0; i < 4; ++i) shared_.push_back(MakeStrong<Object>(this, kLinked, false));
  }

  void Run(int threads, int operations, bool end_cache_first) {
    std::atomic<int> working{threads};
    support::RunThreads(threads + 1, [&](int thread) {
      std::mt19937_64 random(seed_ * 31 + static_cast<uint64_t>(thread));
      if (thread == threads) {
        // Ends loads that others began. Blocking requests may wait for them.
        while (working > 0) {
          if (!EndOneLoad(random())) std::this_thread::yield();
        }
        return;
      }
      Worker worker{random, {}, {}, {}};
      for (int i = 0; i < operations; ++i) Operate(worker);
      --working;
      while (EndOneLoad(random())) continue;
      const std::lock_guard<std::mutex> lock(mutex_);
      for (Ref& ref : worker.held) left_over_.push_back(std::move(ref));
    });
    if (end_cache_first) {
      open_ = false;
      cache_.reset();
    } else {
      while (EndOneLoad(1)) continue;
      const CacheStats stats = cache_->Stats();
      EXPECT_EQ(stats.loading, 0u);
      EXPECT_EQ(stats.hits + stats.misses, requests_);
      size_t shown = 0;
      cache_->ForEach([&](int key, const Ref& object) {
        ++shown;
        EXPECT_TRUE(object->Is(key));
      });
      EXPECT_EQ(shown, cache_->size());
      EXPECT_EQ(Peer::EntriesInBuckets(*cache_), Peer::TableCount(*cache_));
    }
    left_over_.clear();
    shared_.clear();
    while (EndOneLoad(1)) continue;
    EXPECT_EQ(live_, 0);
    EXPECT_EQ(answers_, started_) << "a request got none, or two";
    if (cache_ != nullptr) {
      EXPECT_EQ(cache_->size(), 0u);
      EXPECT_EQ(Peer::TableCount(*cache_), 0u);
      open_ = false;
      cache_.reset();
    }
  }

 private:
  struct Worker {
    std::mt19937_64& random;
    std::array<Ref, 12> held;
    std::vector<ExpiryCallback> callbacks;
    std::deque<std::stop_source> stops;
  };
  struct Load {
    Completion completion;
    int key;
  };

  void Operate(Worker& worker) {
    Cache& cache = *cache_;
    const uint64_t r = worker.random();
    // Skewed: some keys are hot, some are rare enough to be absent.
    const int key = static_cast<int>((r >> 8) % ((r >> 14) % 2 == 0 ? 4 : kKeys));
    Ref& place = worker.held[r % worker.held.size()];
    switch ((r >> 16) % 32) {
      default:
        place = Blocking(r, key);
        break;
      case 10:
      case 11:
      case 12:
        place = cache.Find(key);
        ++requests_;
        break;
      case 13:
      case 14:
        place = cache.Insert(key, Object(this, key, (r >> 24) % 4 == 0));
        break;
      case 15:
        cache.Insert(key, shared_[(r >> 24) % shared_.size()]);
        break;
      case 16:
        place = cache.Insert(key, MakeStrong<Object>(this, key, (r >> 24) % 4 == 0));
        break;
      case 17:
        if (place != nullptr && place->Is(key)) cache.Insert(key, place);
        break;
      case 18:
      case 19:
        cache.Invalidate(key);
        break;
      case 20:
        if ((r >> 24) % 16 == 0) cache.InvalidateAll();
        break;
      case 21:
        if ((r >> 24) % 32 == 0) {
          cache.ForEach([&](int k, const Ref& object) { EXPECT_TRUE(object->Is(k)); });
        }
        break;
      case 22:
      case 23:
      case 24:
        Start(worker, r, key);
        break;
      case 25:
        if (!worker.stops.empty()) {
          worker.stops.front().request_stop();
          worker.stops.pop_front();
        }
        break;
      case 26:
        EndOneLoad(r >> 24);
        break;
      case 27:
        if (place != nullptr) {
          worker.callbacks.emplace_back(
              place, [](const WeakRef<Object>& dead) { EXPECT_TRUE(dead.expired()); });
          if (worker.callbacks.size() > 20) worker.callbacks.clear();
        }
        break;
      case 28:
        if ((r >> 24) % 16 == 0) cache.Drain();
        break;
      case 29:
        place.reset();
        break;
      case 30:
        if ((r >> 24) % 64 == 0) {  // a crowd: the table grows, and shrinks later
          std::vector<Ref> crowd;
          for (int k = 0; k < 200; ++k) {
            crowd.push_back(cache.Insert(kKeys + k, Object(this, kKeys + k, false)));
          }
        }
        break;
    }
    if (place != nullptr && (r >> 16) % 32 <= 14 && !place->Is(key)) {
      ADD_FAILURE() << "key " << key << " gave something else, or what is dead";
    }
  }

  Ref Blocking(uint64_t r, int key) {
    ++requests_;
    WaitOptions wait;
    if ((r >> 28) % 8 == 0) wait.deadline = absl::Now() + absl::Microseconds(r % 100);
    try {
      switch ((r >> 32) % 8) {
        default:
          return cache_->GetOrCreate(
              key, [&](int k) { return Object(this, k, (r >> 36) % 4 == 0); }, wait);
        case 5: {
          const Result result = cache_->GetOrCreate(
              key,
              [&](int k) -> Result {
                if ((r >> 36) % 2 == 0) return absl::DataLossError("provoked");
                return MakeStrong<Object>(this, k, false);
              },
              wait);
          Check(result.status());
          return result.ok() ? *result : Ref();
        }
        case 6:
          return cache_->GetOrCreate(
              key, [&](int) -> Object { ThrowProvoked(); }, wait);
        case 7:
          return cache_->GetOrCreate(
              key,
              [&](int k) {
                // Any other key: circles occur, and are errors.
                const Ref inner =
                    Blocking(r * 6364136223846793005u + 1, static_cast<int>((r >> 40) % kKeys));
                return Object(this, k, false);
              },
              wait);
      }
    } catch (const CacheError& error) {
      Check(error.status());
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "provoked");
    }
    return nullptr;
  }

  static void Check(const absl::Status& status) {
    switch (status.code()) {
      case absl::StatusCode::kOk:
      case absl::StatusCode::kDeadlineExceeded:
      case absl::StatusCode::kFailedPrecondition:  // a circle
      case absl::StatusCode::kCancelled:           // a dropped completion, a stop, the end
        return;
      case absl::StatusCode::kDataLoss:
      case absl::StatusCode::kUnknown:
        EXPECT_NE(status.message().find("provoked"), std::string::npos) << status;
        return;
      default:
        ADD_FAILURE() << status;
    }
  }

  void Start(Worker& worker, uint64_t r, int key) {
    ++requests_;
    ++started_;
    WaitOptions wait;
    if ((r >> 24) % 2 == 0) {
      worker.stops.emplace_back();
      wait.stop = worker.stops.back().get_token();
      if (worker.stops.size() > 8) worker.stops.pop_front();  // never stopped
    }
    cache_->StartGetOrCreate(
        key,
        [&](int k, LoadContext&, Completion completion) {
          switch ((r >> 28) % 8) {
            case 0:
              return;  // dropped
            case 1:
              ThrowProvoked();
            case 2:
              completion.Complete(Object(this, k, false));
              return;
            default:
              const std::lock_guard<std::mutex> lock(mutex_);
              loads_.push_back(Load{std::move(completion), k});
          }
        },
        [this, key](Result result) {
          ++answers_;
          Check(result.status());
          if (result.ok()) {
            EXPECT_TRUE((*result)->Is(key));
          }
        },
        wait);
  }

  bool EndOneLoad(uint64_t r) {
    std::optional<Load> load;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (loads_.empty()) return false;
      load.emplace(std::move(loads_.front()));
      loads_.pop_front();
    }
    switch (r % 8) {
      case 0:
        return true;  // dropped
      case 1:
        load->completion.Complete(absl::DataLossError("provoked"));
        return true;
      case 2:
        try {
          ThrowProvoked();
        } catch (...) {
          load->completion.Complete(std::current_exception());
        }
        return true;
      case 3:
        load->completion.Complete(MakeStrong<Object>(this, load->key, false));
        return true;
      default:
        load->completion.Complete(Object(this, load->key, r % 3 == 0));
        return true;
    }
  }

  const uint64_t seed_;
  std::unique_ptr<Cache> cache_;
  std::atomic<bool> open_{true};
  std::atomic<int> live_{0};
  std::atomic<uint64_t> requests_{0};
  std::atomic<uint64_t> started_{0};
  std::atomic<uint64_t> answers_{0};
  std::mutex mutex_;
  std::deque<Load> loads_;
  std::vector<Ref> left_over_;
  std::vector<Ref> shared_;  // live throughout the round
};

template <class Hash>
class MixedStress : public ::testing::Test {};
using Hashes = ::testing::Types<support::GoodHash, support::ConstantHash, support::FourBitHash>;
TYPED_TEST_SUITE(MixedStress, Hashes);

TYPED_TEST(MixedStress, EverythingAtOnce) {
  const uint64_t seed = support::TestSeed();
  const int rounds = support::ScaledIterations(60);
  const int operations = 2000;
  const auto settle = [] {
    WeakValueCache<int, int> any;
    for (int i = 0; i < 3; ++i) any.Drain();
  };
  const auto run = [&](int i) {
    Round<TypeParam> round(seed + static_cast<uint64_t>(i), size_t{1} << (i % 3 * 2));
    round.Run(4, operations, /*end_cache_first=*/i % 3 == 2);
    settle();
  };
  for (int i = 0; i < 3; ++i) run(i);
  const int64_t before = support::LiveBytes();
  for (int i = 0; i < rounds; ++i) {
    run(i);
    if (::testing::Test::HasFailure()) break;
  }
  EXPECT_LE(support::LiveBytes() - before, 256 << 10);
}

// Oracle. Caches that are made, used by all threads, and ended while some of the threads are
// blocked in them: those get kCancelled or their object, at once, and everything is given back.
TEST(CacheChurnStress, CachesEndUnderTheirWaiters) {
  const int rounds = support::ScaledIterations(1500);
  for (int i = 0; i < rounds; ++i) {
    auto cache = std::make_unique<WeakValueCache<int, int>>(CacheOptions{.shards = 1});
    std::vector<LoadCompletion<int>> loads;
    std::atomic<int> answers{0};
    for (int key = 0; key < 3; ++key) {
      cache->StartGetOrCreate(
          key, [&](int, LoadContext&, LoadCompletion<int> c) { loads.push_back(std::move(c)); },
          [&](const auto&) { ++answers; });
    }
    std::vector<std::thread> waiters;
    for (int key = 0; key < 3; ++key) {
      waiters.emplace_back([&, key, c = cache.get()] {
        const auto result = c->GetOrCreate(key, [](int) -> absl::StatusOr<int> { return -1; });
        if (result.ok()) {
          EXPECT_EQ(**result, key * 10);
        } else {
          EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
        }
      });
    }
    while (cache->Stats().loads_shared != 3) std::this_thread::yield();
    // The loads end while the cache does.
    support::RunThreads(2, [&](int thread) {
      if (thread == 0) {
        cache.reset();
      } else {
        for (int key = 0; key < 3; ++key) loads[key].Complete(key * 10);
      }
    });
    for (std::thread& waiter : waiters) waiter.join();
    ASSERT_EQ(answers, 3);
  }
}

}  // namespace
}  // namespace weakref
