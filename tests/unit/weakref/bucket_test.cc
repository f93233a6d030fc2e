// Buckets and arrays of them, held against a naive oracle that looks at every byte.

#include "weakref/internal/table/bucket.h"

#include <cstddef>
#include <cstdint>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/test_block.h"
#include "tests/support/test_seed.h"
#include "tests/support/test_syncs.h"
#include "weakref/internal/table/bucket_array.h"

namespace weakref::internal::table {
namespace {

using support::BlockLog;
using support::SwitchSync;

// ---- the word ----

uint8_t ByteOf(uint64_t bits, int i) { return static_cast<uint8_t>(bits >> (8 * i)); }

std::vector<int> SlotsOf(BucketWord::SlotSet set) {
  std::vector<int> slots;
  for (; set != 0; set &= set - 1) slots.push_back(BucketWord::SlotOf(set));
  return slots;
}

std::vector<int> NaiveMatch(uint64_t bits, uint8_t tag) {
  std::vector<int> slots;
  for (int i = 0; i < kSlots; ++i) {
    if (ByteOf(bits, i) == tag) slots.push_back(i);
  }
  return slots;
}

TEST(BucketWord, MatchOfEveryTagInEverySlot) {
  for (int tag = 0; tag < 256; ++tag) {
    for (int slot = 0; slot < kSlots; ++slot) {
      // Neighbours that differ in one bit are what a carry between bytes would mistake.
      for (const int other : {tag ^ 1, tag ^ 0x80, 0, 0xff}) {
        uint64_t bits = BucketWord::kLow * static_cast<uint64_t>(other);
        bits |= static_cast<uint64_t>(other) << BucketWord::kOverflowShift;
        const BucketWord word = BucketWord(bits).WithTag(slot, static_cast<uint8_t>(tag));
        const auto wanted = static_cast<uint8_t>(tag);
        ASSERT_EQ(SlotsOf(word.Match(wanted)), NaiveMatch(word.bits(), wanted))
            << "tag " << tag << " slot " << slot << " among " << other;
      }
    }
  }
}

TEST(BucketWord, MatchOfRandomWordsIsTheNaiveOne) {
  std::mt19937_64 random(support::TestSeed());
  for (int i = 0; i < 20000; ++i) {
    // Few different bytes, so that several slots match, and neighbours nearly do.
    const uint64_t base = random();
    uint64_t bits = 0;
    for (int byte = 0; byte < 8; ++byte) {
      bits = (bits << 8) | (ByteOf(base, 0) ^ (random() % 3));
    }
    for (int tag = 0; tag < 3; ++tag) {
      const auto wanted = static_cast<uint8_t>(ByteOf(base, 0) ^ tag);
      ASSERT_EQ(SlotsOf(BucketWord(bits).Match(wanted)), NaiveMatch(bits, wanted)) << bits;
    }
    ASSERT_EQ(SlotsOf(BucketWord(bits).Empty()), NaiveMatch(bits, 0)) << bits;
  }
}

TEST(BucketWord, OverflowIsNoTag) {
  const BucketWord word(uint64_t{0x7b} << BucketWord::kOverflowShift);
  EXPECT_EQ(word.Match(0x7b), 0);
  EXPECT_EQ(word.overflow(), 0x7b);
}

TEST(BucketWord, WithTagChangesOneByte) {
  const uint64_t bits = 0x0102030405060708;
  for (int slot = 0; slot < kSlots; ++slot) {
    const BucketWord word = BucketWord(bits).WithTag(slot, 0xee);
    for (int i = 0; i < 8; ++i) {
      EXPECT_EQ(ByteOf(word.bits(), i), i == slot ? 0xee : ByteOf(bits, i));
    }
    EXPECT_EQ(word.WithTag(slot, ByteOf(bits, slot)).bits(), bits);
  }
}

TEST(BucketWord, OverflowThatReachedTheTopStaysThere) {
  BucketWord word(0x00112233445566);
  const uint64_t tags = word.bits();
  for (uint64_t n = 1; n < BucketWord::kMaxOverflow; ++n) {
    word = word.WithOverflowRaised();
    ASSERT_EQ(word.overflow(), n);
    ASSERT_EQ(word.WithOverflowLowered().overflow(), n - 1);
    ASSERT_EQ(word.bits() << 8, tags << 8) << "the tags are not touched";
  }
  word = word.WithOverflowRaised();
  EXPECT_EQ(word.overflow(), BucketWord::kMaxOverflow);
  EXPECT_EQ(word.WithOverflowRaised().bits(), word.bits());
  EXPECT_EQ(word.WithOverflowLowered().bits(), word.bits());
}

// ---- arrays ----

using TestBlock = support::TestBlock<SwitchSync>;
using Block = BasicControlBlock<SwitchSync>;
using Array = BucketArray<SwitchSync>;
using Position = Array::Position;

// An array, the entries in it, and what it should hold.
class ArrayTester {
 public:
  explicit ArrayTester(int log2) : array_(Array::Make(log2)) {}
  ArrayTester(const ArrayTester&) = delete;
  ArrayTester& operator=(const ArrayTester&) = delete;
  ~ArrayTester() {
    Array::Free(array_);
    for (TestBlock* entry : made_) TestBlock::FreeLeaked(entry);
  }

  Array& array() { return *array_; }

  Block* Make(uint32_t hash) {
    made_.push_back(TestBlock::MakeListed(&log_, hash));
    return made_.back();
  }
  // Null if there is no room.
  Block* Insert(uint32_t hash) {
    Block* entry = Make(hash);
    Position where{};
    if (!array_->InsertLocked(entry, hash, &where)) return nullptr;
    EXPECT_EQ(array_->bucket(where.bucket).EntryLocked(where.slot), entry);
    held_.push_back({entry, hash});
    return entry;
  }
  void Unlink(size_t i) {
    const auto [entry, hash] = held_[i];
    Position where{};
    ASSERT_TRUE(array_->FindLocked(entry, hash, &where));
    array_->UnlinkLocked(where, hash);
    EXPECT_FALSE(array_->FindLocked(entry, hash, &where));
    held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  size_t held() const { return held_.size(); }

  // Each entry is where a reader would come by; tags say what pointers say; each overflow count is
  // the number of entries whose path passes the bucket, or stuck at the top.
  void Check() {
    std::vector<uint64_t> passing(array_->size());
    std::set<std::pair<size_t, int>> taken;
    for (const auto& [entry, hash] : held_) {
      Position where{};
      ASSERT_TRUE(array_->FindLocked(entry, hash, &where));
      ASSERT_TRUE(taken.insert({where.bucket, where.slot}).second);
      const Bucket<SwitchSync>& bucket = array_->bucket(where.bucket);
      ASSERT_EQ(bucket.EntryLocked(where.slot), entry);
      ASSERT_EQ(ByteOf(bucket.Read().bits(), where.slot), Tag(hash));
      for (size_t b = Home(hash) & array_->mask(); b != where.bucket;
           b = (b + 1) & array_->mask()) {
        ++passing[b];
      }
    }
    for (size_t b = 0; b < array_->size(); ++b) {
      const BucketWord word = array_->bucket(b).Read();
      if (word.overflow() != BucketWord::kMaxOverflow) {
        ASSERT_EQ(word.overflow(), passing[b]) << "bucket " << b;
      } else {
        stuck_ = true;
      }
      for (int slot = 0; slot < kSlots; ++slot) {
        const bool expected = taken.count({b, slot}) != 0;
        ASSERT_EQ(array_->bucket(b).Entry(slot) != nullptr, expected);
        ASSERT_EQ(ByteOf(word.bits(), slot) != 0, expected);
      }
    }
  }
  bool stuck() const { return stuck_; }

 private:
  Array* array_;
  BlockLog log_;
  std::vector<TestBlock*> made_;
  std::vector<std::pair<Block*, uint32_t>> held_;
  bool stuck_ = false;
};

uint32_t HashOf(uint32_t home, uint32_t tag) { return (tag << kHomeBits) | home; }

TEST(BucketArray, FillsTheHomeBucketFirstAndWrapsAround) {
  ArrayTester tester(2);
  for (int i = 0; i < 2 * kSlots; ++i) ASSERT_NE(tester.Insert(HashOf(3, 9)), nullptr);
  tester.Check();
  EXPECT_EQ(tester.array().bucket(3).Read().overflow(), kSlots);
  EXPECT_EQ(tester.array().bucket(3).Read().Empty(), 0);
  EXPECT_EQ(tester.array().bucket(0).Read().Empty(), 0);
  EXPECT_EQ(tester.array().bucket(0).Read().overflow(), 0);
}

TEST(BucketArray, FullArrayTakesNothingAndIsUnchanged) {
  ArrayTester tester(1);
  for (size_t i = 0; i < tester.array().capacity(); ++i) {
    ASSERT_NE(tester.Insert(HashOf(static_cast<uint32_t>(i), 5)), nullptr);
  }
  EXPECT_EQ(tester.Insert(HashOf(0, 5)), nullptr);
  EXPECT_EQ(tester.Insert(HashOf(1, 5)), nullptr);
  tester.Check();
}

TEST(BucketArray, FindIsByIdentity) {
  ArrayTester tester(1);
  ASSERT_NE(tester.Insert(HashOf(0, 7)), nullptr);
  Block* const second = tester.Insert(HashOf(0, 7));
  Block* const stranger = tester.Make(HashOf(0, 7));
  Position where{};
  EXPECT_FALSE(tester.array().FindLocked(stranger, HashOf(0, 7), &where));
  ASSERT_TRUE(tester.array().FindLocked(second, HashOf(0, 7), &where));
  EXPECT_EQ(where.slot, 1);
}

TEST(BucketArray, TagZeroIsTagOne) {
  // 0 marks an empty slot, so two values of the hash share tag 1.
  EXPECT_EQ(Tag(HashOf(0, 0)), 1);
  EXPECT_EQ(Tag(HashOf(0, 1)), 1);
  EXPECT_EQ(Tag(HashOf(0, 255)), 255);
  ArrayTester tester(0);
  ASSERT_NE(tester.Insert(HashOf(0, 0)), nullptr);
  ASSERT_NE(tester.Insert(HashOf(0, 1)), nullptr);
  tester.Check();
  tester.Unlink(0);
  tester.Check();
}

TEST(BucketArray, ReplaceKeepsSlotAndTag) {
  ArrayTester tester(0);
  Block* const old = tester.Insert(HashOf(0, 7));
  Block* const fresh = tester.Make(HashOf(0, 7));
  Position where{};
  ASSERT_TRUE(tester.array().FindLocked(old, HashOf(0, 7), &where));
  const uint64_t before = tester.array().bucket(0).Read().bits();
  tester.array().ReplaceLocked(where, fresh);
  EXPECT_EQ(tester.array().bucket(0).Entry(where.slot), fresh);
  EXPECT_EQ(tester.array().bucket(0).Read().bits(), before);
  EXPECT_FALSE(tester.array().FindLocked(old, HashOf(0, 7), &where));
}

TEST(BucketArray, RandomInsertsAndUnlinksKeepTheOverflowCounts) {
  std::mt19937_64 random(support::TestSeed());
  for (int log2 = 0; log2 <= 4; ++log2) {
    ArrayTester tester(log2);
    for (int i = 0; i < 2000; ++i) {
      // Homes in one corner, so that paths are long and wrap around; fuller and emptier in turns.
      const bool grow = (i / 100) % 2 == 0;
      if (tester.held() == 0 || random() % 4 < (grow ? 3 : 1)) {
        const bool full = tester.held() == tester.array().capacity();
        const auto home = static_cast<uint32_t>(tester.array().mask() - random() % 3 % 16);
        ASSERT_EQ(tester.Insert(HashOf(home, random() % 256)) == nullptr, full);
      } else {
        tester.Unlink(random() % tester.held());
      }
      if (i % 10 == 0) tester.Check();
      if (testing::Test::HasFatalFailure()) return;
    }
    EXPECT_FALSE(tester.stuck());
  }
}

TEST(BucketArray, MoreThan255OverARingStillFindsEverything) {
  // One home for 448 entries: its bucket's count sticks at 255, and nothing is lost.
  ArrayTester tester(6);
  while (tester.held() < tester.array().capacity()) {
    ASSERT_NE(tester.Insert(HashOf(10, static_cast<uint32_t>(tester.held() % 256))), nullptr);
  }
  tester.Check();
  EXPECT_TRUE(tester.stuck());
  while (tester.held() > 0) tester.Unlink(tester.held() / 2);
  tester.Check();
  EXPECT_EQ(tester.array().bucket(10).Read().overflow(), BucketWord::kMaxOverflow);
  // The bucket before the home was passed by nobody but stands at the ring's end.
  EXPECT_EQ(tester.array().bucket(9).Read().overflow(), 0);
}

TEST(BucketArray, BucketsAreCacheLinesAndTheirMemoryGoesBack) {
  const int before = SwitchSync::live_allocations;
  for (int log2 = 0; log2 < 8; ++log2) {
    Array* array = Array::Make(log2);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(&array->bucket(0)) % 64, 0);
    EXPECT_EQ(array->size(), size_t{1} << log2);
    EXPECT_EQ(array->capacity(), array->size() * 7);
    EXPECT_GE(array->bytes(), array->size() * 64);
    for (size_t i = 0; i < array->size(); ++i) EXPECT_EQ(array->bucket(i).Read().bits(), 0);
    EXPECT_EQ(SwitchSync::live_allocations, before + 1);
    array->DropLastTokens(2);  // as a reclaimer does
    EXPECT_EQ(SwitchSync::live_allocations, before);
  }
}

}  // namespace
}  // namespace weakref::internal::table
