#include "weakref/make_strong.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "tests/support/heap_count.h"
#include "tests/support/instance_counter.h"
#include "weakref/weak_ref.h"

namespace weakref {
namespace {

using support::Counted;
using support::FailingHeap;
using support::InstanceCounts;
using support::LiveHeapBlocks;

TEST(MakeStrong, AllocatesOnce) {
  const int64_t before = LiveHeapBlocks();
  const StrongRef<int> strong = MakeStrong<int>(1);
  EXPECT_EQ(LiveHeapBlocks(), before + 1);
  const WeakRef<int> weak = strong;
  EXPECT_EQ(LiveHeapBlocks(), before + 1);
}

TEST(MakeStrong, PutsTheObjectBehindAHeaderOf32Bytes) {
  static_assert(sizeof(internal::InplaceBlock<uint64_t>) == 32 + sizeof(uint64_t));
  static_assert(sizeof(internal::InplaceBlock<char>) == 32 + 8);
  const StrongRef<uint64_t> strong = MakeStrong<uint64_t>(1);
  const auto* block = internal::RefAccess::Block(strong);
  EXPECT_EQ(
      reinterpret_cast<const std::byte*>(strong.get()) - reinterpret_cast<const std::byte*>(block),
      32);
}

TEST(MakeStrong, ForwardsItsArguments) {
  struct Object {
    Object(std::unique_ptr<int> m, std::string& r, const std::string& c)
        : moved(std::move(m)), referred(&r), copied(c) {}
    std::unique_ptr<int> moved;
    std::string* referred;
    std::string copied;
  };
  std::string text = "text";
  const StrongRef<Object> object = MakeStrong<Object>(std::make_unique<int>(4), text, text);
  EXPECT_EQ(*object->moved, 4);
  EXPECT_EQ(object->referred, &text);
  EXPECT_EQ(object->copied, text);
}

TEST(MakeStrong, ValueInitialises) { EXPECT_EQ(*MakeStrong<int>(), 0); }

TEST(MakeStrong, ConstObject) {
  const StrongRef<const std::string> text = MakeStrong<const std::string>("text");
  EXPECT_EQ(*text, "text");
}

TEST(MakeStrong, KeepsAlignment) {
  struct alignas(256) Aligned {
    explicit Aligned(InstanceCounts* counts) : counted(counts) {}
    Counted counted;
  };
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  for (int i = 0; i < 16; ++i) {
    const StrongRef<Aligned> strong = MakeStrong<Aligned>(&counts);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(strong.get()) % 256, 0);
  }
  EXPECT_EQ(counts.live(), 0);
  EXPECT_EQ(LiveHeapBlocks(), before);
}

TEST(MakeStrong, ThrowingConstructorLeaksNothing) {
  struct Thrower {
    explicit Thrower(InstanceCounts* counts) : counted(counts) {
      throw std::runtime_error("constructor");
    }
    Counted counted;
  };
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  try {
    (void)MakeStrong<Thrower>(&counts);
    ADD_FAILURE() << "did not throw";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "constructor");
  }
  EXPECT_EQ(LiveHeapBlocks(), before);
  EXPECT_EQ(counts.constructed(), 1);
  EXPECT_EQ(counts.live(), 0);
}

TEST(MakeStrong, NoMemoryThrowsAndConstructsNothing) {
  InstanceCounts counts;
  bool thrown = false;
  {
    const FailingHeap failing;
    try {
      (void)MakeStrong<Counted>(&counts);
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
  }
  EXPECT_TRUE(thrown);
  EXPECT_EQ(counts.constructed(), 0);
}

TEST(MakeStrong, WeakKeepsTheMemoryNotTheObject) {
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  StrongRef<Counted> strong = MakeStrong<Counted>(&counts);
  WeakRef<Counted> weak = strong;
  strong.reset();
  EXPECT_EQ(counts.live(), 0);
  EXPECT_EQ(LiveHeapBlocks(), before + 1);
  weak.reset();
  EXPECT_EQ(LiveHeapBlocks(), before);
}

TEST(MakeStrong, ApartFromItsBlockTheObjectGoesBackFirst) {
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  StrongRef<Counted> strong(std::make_unique<Counted>(&counts));
  WeakRef<Counted> weak = strong;
  EXPECT_EQ(LiveHeapBlocks(), before + 2);
  strong.reset();
  EXPECT_EQ(LiveHeapBlocks(), before + 1);
  weak.reset();
  EXPECT_EQ(LiveHeapBlocks(), before);
}

}  // namespace
}  // namespace weakref
