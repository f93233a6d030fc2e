// One shard's table against a std::map, with a good hash and two bad ones, at every step of its
// resizes.

#include "weakref/internal/table/table.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/run_threads.h"
#include "tests/support/stress_scale.h"
#include "tests/support/test_block.h"
#include "tests/support/test_seed.h"
#include "tests/support/test_syncs.h"
#include "weakref/internal/epoch/guard.h"
#include "weakref/internal/table/hash_mix.h"

namespace weakref::internal::table {
namespace {

using support::BlockLog;
using support::RunThreads;
using support::ScaledIterations;
using support::SwitchSync;

struct GoodHash {
  static uint32_t Of(int key) {
    return StoredHash(MixHash(static_cast<uint64_t>(key), HashKey{0x9e3779b97f4a7c15, 0xd1342543}));
  }
};
struct FourBitHash {
  static uint32_t Of(int key) { return GoodHash::Of(key) & 15; }
};
struct ConstantHash {
  static uint32_t Of(int) { return 0x2a000007; }
};

// A table, what it should hold, and the entries ever made, which live as long as the tester: so
// that a stale pointer is an answer that can be judged.
template <class Hash>
class TableTester {
 public:
  using Entry = support::TestBlock<SwitchSync>;
  using Block = BasicControlBlock<SwitchSync>;
  using Array = BucketArray<SwitchSync>;

  TableTester() = default;
  TableTester(const TableTester&) = delete;
  TableTester& operator=(const TableTester&) = delete;
  ~TableTester() {
    for (const auto& [entry, key] : key_of_) {
      Entry::FreeLeaked(static_cast<Entry*>(const_cast<Block*>(entry)));
    }
  }

  Table<SwitchSync>& table() { return *table_; }
  const std::map<int, Block*>& held() const { return held_; }

  Block* Make(int key) {
    Block* entry = Entry::MakeListed(&log_, Hash::Of(key));
    key_of_[entry] = key;
    return entry;
  }
  void Insert(int key) {
    Block* entry = Make(key);
    while (!table_->InsertLocked(entry)) Maintain(SIZE_MAX);
    held_[key] = entry;
  }
  void Unlink(int key) {
    EXPECT_TRUE(table_->UnlinkLocked(held_.at(key)));
    EXPECT_FALSE(table_->UnlinkLocked(held_.at(key))) << "gone already";
    held_.erase(key);
  }
  void Replace(int key) {
    Block* old = held_.at(key);
    Block* fresh = Make(key);
    const bool found = table_->VisitLocked(Hash::Of(key), [&](Block* entry, auto where) {
      if (entry != old) return false;
      table_->ReplaceLocked(where, old, fresh);
      return true;
    });
    EXPECT_TRUE(found);
    held_[key] = fresh;
  }

  // As the shard does after a change.
  void Maintain(size_t buckets_per_step) {
    const int wanted = table_->WantedLog2();
    if (wanted >= 0) table_->BeginResize(Array::Make(wanted));
    Step(buckets_per_step);
  }
  // Returns whether a new array was published.
  bool Step(size_t buckets) {
    Array* old = table_->StepLocked(buckets);
    if (old != nullptr) Array::Free(old);
    return old != nullptr;
  }

  // What a reader finds for `key`: its entries, each of which it should be asked about once.
  std::multiset<const Block*> Visited(int key) const {
    std::multiset<const Block*> visited;
    Block* found = table_->Find(Hash::Of(key), [&](Block* entry) {
      if (key_of_.at(entry) == key) visited.insert(entry);
      return false;
    });
    EXPECT_EQ(found, nullptr);
    return visited;
  }
  Block* Find(int key) const {
    return table_->Find(Hash::Of(key), [&](Block* entry) { return key_of_.at(entry) == key; });
  }

  // The table is the map, for readers and for writers. `keys`: all that may ever have been in it.
  void Check(int keys) {
    ASSERT_EQ(table_->count(), held_.size());
    for (int key = 0; key < keys; ++key) {
      const auto it = held_.find(key);
      if (it == held_.end()) {
        ASSERT_TRUE(Visited(key).empty()) << key;
        ASSERT_EQ(Find(key), nullptr) << key;
      } else {
        ASSERT_EQ(Visited(key), std::multiset<const Block*>{it->second}) << key;
        ASSERT_EQ(Find(key), it->second) << key;
      }
    }
    std::map<int, Block*> all;
    table_->VisitAllLocked([&](Block* entry) {
      EXPECT_TRUE(all.insert({key_of_.at(entry), entry}).second) << "visited twice";
      return true;
    });
    ASSERT_EQ(all, held_);
  }

 private:
  BlockLog log_;
  // Apart: GCC's AddressSanitizer does not align a stack frame to a cache line (bug 110027).
  const std::unique_ptr<Table<SwitchSync>> table_ = std::make_unique<Table<SwitchSync>>();
  std::map<int, Block*> held_;
  std::map<const Block*, int> key_of_;
};

template <class Hash>
class TableTest : public testing::Test {
 protected:
  ~TableTest() override { EXPECT_EQ(SwitchSync::live_allocations, before_) << "arrays left"; }

 private:
  const int before_ = SwitchSync::live_allocations;
};
using Hashes = testing::Types<GoodHash, FourBitHash, ConstantHash>;
TYPED_TEST_SUITE(TableTest, Hashes);

TYPED_TEST(TableTest, RandomOperationsAgreeWithAMap) {
  constexpr int kKeys = 200;
  std::mt19937_64 random(support::TestSeed());
  TableTester<TypeParam> tester;
  const int operations = ScaledIterations(4000);
  for (int i = 0; i < operations; ++i) {
    // Fills up and empties in turns, so that it grows and shrinks.
    const bool fill = (i / 500) % 2 == 0;
    const int key = static_cast<int>(random() % kKeys);
    const uint64_t dice = random() % 8;
    if (tester.held().count(key) == 0) {
      if (dice < (fill ? 7 : 1)) tester.Insert(key);
    } else if (dice < (fill ? 1 : 6)) {
      tester.Unlink(key);
    } else if (dice == 7) {
      tester.Replace(key);
    }
    tester.Maintain(random() % 3);
    ASSERT_EQ(tester.Find(key), tester.held().count(key) == 0 ? nullptr : tester.held().at(key));
    if (i % 40 == 0) tester.Check(kKeys);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TYPED_TEST(TableTest, EveryEntryIsFoundAtEveryStepOfAGrowth) {
  constexpr int kKeys = 400;
  TableTester<TypeParam> tester;
  for (int key = 0; key < kKeys / 2; ++key) {
    tester.Insert(key);
    tester.Maintain(SIZE_MAX);
  }
  ASSERT_EQ(tester.table().WantedLog2(), -1);
  const size_t before = tester.table().capacity();
  size_t log2 = 0;
  while ((size_t{7} << log2) < before) ++log2;
  tester.table().BeginResize(TableTester<TypeParam>::Array::Make(static_cast<int>(log2) + 1));
  EXPECT_EQ(tester.table().WantedLog2(), -1) << "it is on its way";
  // At each step one comes, one goes and one is replaced, in parts that are copied or not yet.
  int next = kKeys / 2;
  int steps = 0;
  do {
    tester.Check(kKeys);
    if (testing::Test::HasFatalFailure()) return;
    tester.Insert(next++);
    tester.Unlink(steps);
    tester.Replace(next - 5);
    tester.Replace(kKeys / 4 + steps);
    ++steps;
  } while (!tester.Step(1));
  EXPECT_EQ(steps, size_t{1} << log2);
  EXPECT_EQ(tester.table().capacity(), 2 * before);
  tester.Check(kKeys);
}

TYPED_TEST(TableTest, EveryEntryIsFoundAtEveryStepOfAShrinkage) {
  constexpr int kKeys = 400;
  TableTester<TypeParam> tester;
  for (int key = 0; key < kKeys; ++key) {
    tester.Insert(key);
    tester.Maintain(SIZE_MAX);
  }
  const size_t full_bytes = tester.table().array_bytes();
  int published = 0;
  for (int key = 0; key < kKeys; ++key) {
    tester.Unlink(key);
    const int wanted = tester.table().WantedLog2();
    if (wanted >= 0) tester.table().BeginResize(TableTester<TypeParam>::Array::Make(wanted));
    published += tester.Step(8) ? 1 : 0;
    if (key % 8 == 0 || wanted >= 0) tester.Check(kKeys);
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GE(published, 3);
  do {
    tester.Maintain(SIZE_MAX);
  } while (tester.table().WantedLog2() >= 0);
  EXPECT_EQ(tester.table().capacity(), 7) << "one bucket";
  EXPECT_LT(tester.table().array_bytes() * 16, full_bytes);
}

using Tester = TableTester<ConstantHash>;

TEST(Table, FullArrayRefusesUntilItHasGrown) {
  Tester tester;
  for (int key = 0; key < 7; ++key) ASSERT_TRUE(tester.table().InsertLocked(tester.Make(key)));
  Tester::Block* eighth = tester.Make(7);
  EXPECT_FALSE(tester.table().InsertLocked(eighth));
  EXPECT_EQ(tester.table().count(), 7);
  EXPECT_EQ(tester.Find(7), nullptr);
  ASSERT_EQ(tester.table().WantedLog2(), 1);
  tester.Maintain(SIZE_MAX);
  EXPECT_TRUE(tester.table().InsertLocked(eighth));
  EXPECT_EQ(tester.Find(7), eighth);
}

TEST(Table, UnlinkIsByIdentity) {
  Tester tester;
  tester.Insert(1);
  Tester::Block* twin = tester.Make(1);
  EXPECT_FALSE(tester.table().UnlinkLocked(twin));
  EXPECT_EQ(tester.table().count(), 1);
  EXPECT_EQ(tester.Find(1), tester.held().at(1));
}

TEST(Table, FindStopsAtTheMatch) {
  Tester tester;
  for (int key = 0; key < 40; ++key) {  // on a path of six buckets
    tester.Insert(key);
    tester.Maintain(SIZE_MAX);
  }
  for (const int stop_after : {1, 2, 8, 40}) {
    int asked = 0;
    const Tester::Block* last = nullptr;
    const Tester::Block* found = tester.table().Find(ConstantHash::Of(0), [&](Tester::Block* e) {
      last = e;
      return ++asked == stop_after;
    });
    EXPECT_EQ(asked, stop_after);
    EXPECT_EQ(found, last);
  }
}

// Every bucket has been passed by an entry of the other one's: no count of 0 ends the way.
TEST(Table, FindGoesAroundAFullRingOnce) {
  struct ParityHash {
    static uint32_t Of(int key) { return 0x2a000000 | (static_cast<uint32_t>(key) & 1); }
  };
  TableTester<ParityHash> tester;
  tester.table().BeginResize(Tester::Array::Make(1));
  Tester::Array::Free(tester.table().FinishResizeLocked());
  for (int i = 0; i < 8; ++i) tester.Insert(2 * i);  // seven at home, one with the odd ones
  for (int i = 0; i < 6; ++i) tester.Insert(2 * i + 1);
  tester.Unlink(0);
  tester.Insert(15);  // odd, with the even ones
  ASSERT_EQ(tester.table().capacity(), 14);
  ASSERT_EQ(tester.table().count(), 14);
  tester.Check(20);
}

TEST(Table, GrowsLateAndShrinksMuchLater) {
  TableTester<GoodHash> tester;
  int key = 0;
  size_t capacity = tester.table().capacity();
  for (int sizes = 0; sizes < 6; ++sizes) {
    while (tester.table().WantedLog2() < 0) tester.Insert(key++);
    EXPECT_GE(tester.held().size() * 100, capacity * 86);
    EXPECT_LE((tester.held().size() - 1) * 100, capacity * 86);
    tester.Maintain(SIZE_MAX);
    EXPECT_EQ(tester.table().capacity(), 2 * capacity);
    EXPECT_EQ(tester.table().WantedLog2(), -1) << "no way back at once";
    capacity *= 2;
  }
  while (tester.table().WantedLog2() < 0) tester.Unlink(--key);
  EXPECT_LT(tester.held().size() * 100, capacity * 12);
  tester.Maintain(SIZE_MAX);
  EXPECT_EQ(tester.table().capacity(), capacity / 2);
  EXPECT_EQ(tester.table().WantedLog2(), -1) << "no way back at once";
}

TEST(Table, FinishResizePublishesAtOnce) {
  TableTester<GoodHash> tester;
  for (int key = 0; key < 100; ++key) {
    tester.Insert(key);
    tester.Maintain(SIZE_MAX);
  }
  EXPECT_EQ(tester.table().FinishResizeLocked(), nullptr) << "none is under way";
  const size_t capacity = tester.table().capacity();
  tester.table().BeginResize(Tester::Array::Make(7));
  EXPECT_EQ(tester.table().StepLocked(0), nullptr);
  Tester::Array* old = tester.table().FinishResizeLocked();
  ASSERT_NE(old, nullptr);
  EXPECT_EQ(old->capacity(), capacity);
  Tester::Array::Free(old);
  EXPECT_EQ(tester.table().capacity(), 7 << 7);
  tester.Check(100);
}

TEST(Table, CloseGivesUpBothArrays) {
  TableTester<GoodHash> tester;
  for (int key = 0; key < 5; ++key) tester.Insert(key);
  Tester::Array* next = Tester::Array::Make(1);
  tester.table().BeginResize(next);
  Tester::Array* unpublished = nullptr;
  Tester::Array* current = tester.table().CloseLocked(&unpublished);
  ASSERT_NE(current, nullptr);
  EXPECT_EQ(unpublished, next);
  EXPECT_EQ(tester.table().count(), 0);
  EXPECT_EQ(tester.table().WantedLog2(), -1);
  EXPECT_FALSE(tester.table().UnlinkLocked(tester.held().at(0)));
  int visited = 0;
  tester.table().VisitAllLocked([&](Tester::Block*) { return ++visited > 0; });
  EXPECT_EQ(visited, 0);
  Tester::Array::Free(current);
  Tester::Array::Free(next);
}

// ---- readers beside a writer ----

// Oracle: an entry that is in the table throughout is found by every lookup; what was unlinked is
// given back, each exactly once, and never while a reader looks at it (AddressSanitizer).
TEST(Table, HeldEntriesAreFoundWhileOthersComeAndGo) {
  using Entry = support::TestBlock<RealSync>;
  using Block = ControlBlock;
  constexpr int kHeld = 64;
  constexpr int kPassing = 2000;
  const int rounds = ScaledIterations(20);

  BlockLog held_log;
  BlockLog passing_log;
  auto table = std::make_unique<Table<RealSync>>();
  int resizes = 0;
  const auto maintain = [&] {
    const int wanted = table->WantedLog2();
    if (wanted >= 0) table->BeginResize(BucketArray<RealSync>::Make(wanted));
    if (BucketArray<RealSync>* old = table->StepLocked(4)) {
      ++resizes;
      epoch::Retire<RealSync>(old, 0, old->bytes());
    }
  };
  const auto insert = [&](Block* entry) {
    while (!table->InsertLocked(entry)) maintain();
    maintain();
  };
  std::vector<Block*> held;
  for (int key = 0; key < kHeld; ++key) {
    held.push_back(Entry::MakeListed(&held_log, GoodHash::Of(key)));
    insert(held.back());
  }
  std::atomic<bool> done{false};
  std::atomic<int> missed{0};
  std::atomic<int> passing_seen{0};
  RunThreads(3, [&](int thread) {
    if (thread == 0) {
      for (int round = 0; round < rounds; ++round) {
        std::vector<Block*> passing;
        for (int key = 0; key < kPassing; ++key) {
          passing.push_back(Entry::MakeListed(&passing_log, GoodHash::Of(kHeld + key)));
          insert(passing.back());
        }
        for (Block* entry : passing) {
          table->UnlinkLocked(entry);
          epoch::Retire<RealSync>(entry, 0, 0);
          maintain();
        }
      }
      done = true;
    } else {
      for (int i = 0; !done; ++i) {
        const int key = i % kHeld;
        const uint32_t hash = GoodHash::Of(key);
        epoch::Guard<RealSync> guard;
        if (table->Find(hash, [&](Block* e) { return e == held[key]; }) == nullptr) ++missed;
        const uint32_t other = GoodHash::Of(kHeld + i % kPassing);
        const Block* found = table->Find(other, [&](Block* e) {
          return e->aux().load(std::memory_order_relaxed) == other;  // relaxed: constant
        });
        if (found != nullptr) ++passing_seen;
      }
    }
  });
  EXPECT_EQ(missed, 0);
  EXPECT_GE(resizes, 4 * rounds);
  // All readers are gone: two steps give everything back.
  while (!epoch::global_domain<RealSync>.TryReclaim()) std::this_thread::yield();
  EXPECT_EQ(passing_log.freed, rounds * kPassing);
  EXPECT_EQ(held_log.freed, 0);
  table.reset();
  for (Block* entry : held) entry->DropTokens(2);
  EXPECT_EQ(held_log.freed, kHeld);
}

}  // namespace
}  // namespace weakref::internal::table
