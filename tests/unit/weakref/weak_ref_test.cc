// WeakRef, held against the interface of std::weak_ptr.

#include "weakref/weak_ref.h"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "gtest/gtest.h"
#include "tests/support/heap_count.h"
#include "tests/support/instance_counter.h"
#include "weakref/make_strong.h"
#include "weakref/strong_ref.h"

namespace weakref {
namespace {

using support::Counted;
using support::InstanceCounts;
using support::LiveHeapBlocks;

static_assert(std::is_nothrow_default_constructible_v<WeakRef<int>>);
static_assert(std::is_nothrow_copy_constructible_v<WeakRef<int>>);
static_assert(std::is_nothrow_move_constructible_v<WeakRef<int>>);
static_assert(std::is_nothrow_copy_assignable_v<WeakRef<int>>);
static_assert(std::is_nothrow_move_assignable_v<WeakRef<int>>);
static_assert(std::is_nothrow_constructible_v<WeakRef<int>, const StrongRef<int>&>);
static_assert(std::is_convertible_v<StrongRef<int>, WeakRef<int>>);
static_assert(std::is_convertible_v<StrongRef<int>, WeakRef<const int>>);
static_assert(std::is_convertible_v<StrongRef<int>, WeakRef<void>>);
static_assert(!std::is_constructible_v<WeakRef<int>, StrongRef<const int>>);
static_assert(!std::is_constructible_v<WeakRef<int>, WeakRef<long>>);
static_assert(!std::is_constructible_v<WeakRef<int>, int*>);
static_assert(!std::is_constructible_v<WeakRef<int>, std::nullptr_t>);
static_assert(!std::is_constructible_v<bool, WeakRef<int>>);
static_assert(std::is_same_v<decltype(WeakRef(StrongRef<int>())), WeakRef<int>>);
static_assert(std::is_same_v<WeakRef<const int>::element_type, const int>);

TEST(WeakRef, DefaultIsExpired) {
  const WeakRef<int> empty;
  EXPECT_TRUE(empty.expired());
  EXPECT_EQ(empty.lock(), nullptr);
  EXPECT_EQ(empty.use_count(), 0);
}

TEST(WeakRef, OfAnEmptyStrongIsExpired) {
  const WeakRef<int> empty = StrongRef<int>();
  EXPECT_TRUE(empty.expired());
  EXPECT_EQ(empty, WeakRef<int>());
}

TEST(WeakRef, LockGivesTheObjectWhileItLives) {
  const StrongRef<int> strong = MakeStrong<int>(5);
  const WeakRef<int> weak = strong;
  EXPECT_FALSE(weak.expired());
  EXPECT_EQ(weak.use_count(), 1);
  const StrongRef<int> locked = weak.lock();
  EXPECT_EQ(locked, strong);
  EXPECT_EQ(weak.use_count(), 2);
}

TEST(WeakRef, DoesNotKeepTheObject) {
  InstanceCounts counts;
  StrongRef<Counted> strong = MakeStrong<Counted>(&counts);
  const WeakRef<Counted> weak = strong;
  strong.reset();
  EXPECT_EQ(counts.destroyed(), 1);
  EXPECT_TRUE(weak.expired());
}

TEST(WeakRef, LockAfterLastReleaseReturnsNull) {
  StrongRef<int> strong = MakeStrong<int>(5);
  const WeakRef<int> weak = strong;
  strong.reset();
  EXPECT_EQ(weak.lock(), nullptr);
  EXPECT_EQ(weak.lock(), nullptr);  // failed locks leave no trace
  EXPECT_EQ(weak.use_count(), 0);
}

TEST(WeakRef, LockedReferenceKeepsTheObject) {
  InstanceCounts counts;
  StrongRef<Counted> strong = MakeStrong<Counted>(&counts);
  const WeakRef<Counted> weak = strong;
  StrongRef<Counted> locked = weak.lock();
  strong.reset();
  EXPECT_EQ(counts.live(), 1);
  EXPECT_FALSE(weak.expired());
  locked.reset();
  EXPECT_EQ(counts.live(), 0);
  EXPECT_TRUE(weak.expired());
}

TEST(WeakRef, StrongFromDeadWeakThrows) {
  StrongRef<int> strong = MakeStrong<int>(5);
  const WeakRef<int> weak = strong;
  EXPECT_EQ(*StrongRef<int>(weak), 5);
  strong.reset();
  EXPECT_THROW(StrongRef<int>{weak}, std::bad_weak_ptr);
  EXPECT_THROW(StrongRef<int>{WeakRef<int>()}, std::bad_weak_ptr);
}

TEST(WeakRef, CopyRefersToTheSameObject) {
  const StrongRef<int> strong = MakeStrong<int>(5);
  const WeakRef<int> a = strong;
  const WeakRef<int> b(a);
  WeakRef<int> c;
  c = b;
  EXPECT_EQ(c.lock(), strong);
  EXPECT_EQ(GetWeakRefCount(strong), 3);
}

TEST(WeakRef, MoveLeavesTheSourceEmptyAndTheCountAlone) {
  const StrongRef<int> strong = MakeStrong<int>(5);
  WeakRef<int> a = strong;
  WeakRef<int> b(std::move(a));
  EXPECT_TRUE(a.expired());
  EXPECT_EQ(a.lock(), nullptr);
  EXPECT_EQ(GetWeakRefCount(strong), 1);
  a = std::move(b);
  EXPECT_TRUE(b.expired());
  EXPECT_EQ(a.lock(), strong);
  EXPECT_EQ(GetWeakRefCount(strong), 1);
}

TEST(WeakRef, SelfAssignmentKeepsTheReference) {
  const StrongRef<int> strong = MakeStrong<int>(5);
  WeakRef<int> weak = strong;
  WeakRef<int>& same = weak;
  weak = same;
  EXPECT_EQ(weak.lock(), strong);
  weak = std::move(same);
  EXPECT_EQ(weak.lock(), strong);
  weak.swap(same);
  EXPECT_EQ(weak.lock(), strong);
  EXPECT_EQ(GetWeakRefCount(strong), 1);
}

TEST(WeakRef, AssignmentDropsTheFormerBlock) {
  const int64_t before = LiveHeapBlocks();
  StrongRef<int> first = MakeStrong<int>(1);
  StrongRef<int> second = MakeStrong<int>(2);
  WeakRef<int> weak = first;
  first.reset();
  EXPECT_EQ(LiveHeapBlocks(), before + 2);  // the dead object's block is kept
  weak = second;
  EXPECT_EQ(LiveHeapBlocks(), before + 1);
  EXPECT_EQ(*weak.lock(), 2);
  second.reset();
  weak.reset();
  EXPECT_EQ(LiveHeapBlocks(), before);
}

TEST(WeakRef, SwapExchanges) {
  const StrongRef<int> one = MakeStrong<int>(1);
  const StrongRef<int> two = MakeStrong<int>(2);
  WeakRef<int> a = one;
  WeakRef<int> b = two;
  a.swap(b);
  EXPECT_EQ(*a.lock(), 2);
  swap(a, b);
  EXPECT_EQ(*a.lock(), 1);
  a.swap(b);
  b.reset();
  EXPECT_TRUE(b.expired());
  EXPECT_EQ(*a.lock(), 2);
}

TEST(WeakRef, OfAnAliasLocksTheAlias) {
  StrongRef<std::pair<int, int>> whole = MakeStrong<std::pair<int, int>>(1, 2);
  WeakRef<int> weak = StrongRef<int>(whole, &whole->second);
  EXPECT_EQ(*weak.lock(), 2);
  whole.reset();
  EXPECT_TRUE(weak.expired());
}

// ---- conversions ----

struct Left {
  virtual ~Left() = default;
  int left = 1;
};
struct Right {
  virtual ~Right() = default;
  int right = 2;
};
struct Both : Left, Right {
  explicit Both(InstanceCounts* counts) : counted(counts) {}
  Counted counted;
};

TEST(WeakRefConversion, ToASecondBaseMovesThePointer) {
  InstanceCounts counts;
  const StrongRef<Both> both = MakeStrong<Both>(&counts);
  const WeakRef<Both> weak = both;
  const WeakRef<Right> right = weak;
  EXPECT_EQ(right.lock().get(), static_cast<Right*>(both.get()));
  EXPECT_EQ(right.lock()->right, 2);
  WeakRef<Both> moved = weak;
  WeakRef<Right> other = std::move(moved);
  EXPECT_EQ(moved.lock(), nullptr);
  EXPECT_EQ(other.lock(), right.lock());
  other = weak;
  EXPECT_EQ(other.lock(), right.lock());
  EXPECT_EQ(GetWeakRefCount(both), 3);
}

TEST(WeakRefConversion, ToConstAndVoid) {
  const StrongRef<int> strong = MakeStrong<int>(1);
  const WeakRef<const int> constant = WeakRef<int>(strong);
  const WeakRef<void> nothing = WeakRef<int>(strong);
  EXPECT_EQ(constant.lock(), strong);
  EXPECT_EQ(nothing.lock().get(), strong.get());
}

struct VirtualBase {
  virtual ~VirtualBase() = default;
  int base = 3;
};
struct Inheritor : virtual VirtualBase {
  explicit Inheritor(InstanceCounts* counts) : counted(counts) {}
  Counted counted;
};

TEST(WeakRefConversion, ToAVirtualBaseLooksIntoTheLivingObject) {
  InstanceCounts counts;
  const StrongRef<Inheritor> strong = MakeStrong<Inheritor>(&counts);
  const WeakRef<Inheritor> weak = strong;
  const WeakRef<VirtualBase> base = weak;
  EXPECT_EQ(base.lock().get(), static_cast<VirtualBase*>(strong.get()));
  EXPECT_EQ(strong.use_count(), 1);  // the lock of the conversion has been given back
}

// A pointer to a virtual base is found through the object, which is gone: under AddressSanitizer a
// conversion that looks would be seen.
TEST(WeakRefConversion, ToAVirtualBaseOfADeadObjectDoesNotTouchIt) {
  InstanceCounts counts;
  StrongRef<Inheritor> strong(new Inheritor(&counts));
  WeakRef<Inheritor> weak = strong;
  strong.reset();
  const WeakRef<VirtualBase> copied = weak;
  const WeakRef<VirtualBase> moved = std::move(weak);
  EXPECT_TRUE(copied.expired());
  EXPECT_EQ(copied.lock(), nullptr);
  EXPECT_TRUE(copied.owner_equal(moved));
  EXPECT_FALSE(copied.owner_equal(WeakRef<VirtualBase>()));
}

TEST(WeakRefConversion, ThatHoldsTheLastReferenceDestroysTheObjectOnce) {
  // A deleter that converts a WeakRef of its own object: dead for it, too.
  InstanceCounts counts;
  WeakRef<Inheritor> weak;
  WeakRef<VirtualBase> converted;
  StrongRef<Inheritor> strong(new Inheritor(&counts), [&](Inheritor* object) {
    converted = weak;
    delete object;
  });
  weak = strong;
  strong.reset();
  EXPECT_EQ(counts.destroyed(), 1);
  EXPECT_TRUE(converted.owner_equal(weak));
  EXPECT_EQ(converted.lock(), nullptr);
}

// ---- owner ----

TEST(WeakRefOwner, SurvivesTheObject) {
  StrongRef<int> a = MakeStrong<int>(1);
  StrongRef<int> b = MakeStrong<int>(1);
  const WeakRef<int> weak_a = a;
  const WeakRef<int> also_a = a;
  const WeakRef<int> weak_b = b;
  const size_t hash = weak_a.owner_hash();
  const bool before = weak_a.owner_before(weak_b);
  a.reset();
  b.reset();
  EXPECT_EQ(weak_a, also_a);
  EXPECT_NE(weak_a, weak_b);
  EXPECT_EQ(weak_a.owner_hash(), hash);
  EXPECT_EQ(std::hash<WeakRef<int>>()(weak_a), hash);
  EXPECT_EQ(weak_a.owner_before(weak_b), before);
  EXPECT_NE(weak_a.owner_before(weak_b), weak_b.owner_before(weak_a));
}

TEST(WeakRefOwner, ComparesWithStrong) {
  const StrongRef<std::pair<int, int>> whole = MakeStrong<std::pair<int, int>>(1, 2);
  const WeakRef<int> part = StrongRef<int>(whole, &whole->second);
  EXPECT_TRUE(part.owner_equal(whole));
  EXPECT_FALSE(part.owner_before(whole));
  EXPECT_FALSE(whole.owner_before(part));
  EXPECT_TRUE(WeakRef<int>().owner_equal(StrongRef<int>()));
  EXPECT_NE(part.owner_before(StrongRef<int>()), StrongRef<int>().owner_before(part));
}

TEST(WeakRefOwner, SetsFindDeadReferences) {
  StrongRef<int> strong = MakeStrong<int>(1);
  const WeakRef<int> weak = strong;
  absl::flat_hash_set<WeakRef<int>> abseil = {weak};
  std::unordered_set<WeakRef<int>> standard = {weak};
  const auto owner_less = [](const WeakRef<int>& a, const WeakRef<int>& b) {
    return a.owner_before(b);
  };
  std::set<WeakRef<int>, decltype(owner_less)> ordered(owner_less);
  ordered.insert(weak);
  ordered.insert(weak);
  strong.reset();
  EXPECT_TRUE(abseil.contains(weak));
  EXPECT_TRUE(standard.contains(weak));
  EXPECT_EQ(ordered.count(weak), 1);
  EXPECT_EQ(ordered.size(), 1);
}

// ---- GetWeakRefCount ----

TEST(GetWeakRefCount, CountsWhatThereIs) {
  const StrongRef<int> strong = MakeStrong<int>(1);
  EXPECT_EQ(GetWeakRefCount(strong), 0);
  EXPECT_EQ(GetWeakRefCount(StrongRef<int>()), 0);
  {
    const WeakRef<int> one = strong;
    EXPECT_EQ(GetWeakRefCount(strong), 1);
    const std::vector<WeakRef<int>> many(10, one);
    EXPECT_EQ(GetWeakRefCount(strong), 11);
    const StrongRef<int> locked = one.lock();
    EXPECT_EQ(GetWeakRefCount(strong), 11);
  }
  EXPECT_EQ(GetWeakRefCount(strong), 0);
  const WeakRef<int> again = strong;
  EXPECT_EQ(GetWeakRefCount(strong), 1);
}

// ---- inside the destructor ----

struct Watcher {
  explicit Watcher(std::function<void()> on_death) : at_death(std::move(on_death)) {}
  ~Watcher() { at_death(); }
  std::function<void()> at_death;
};

TEST(WeakRef, IsExpiredInsideTheDestructor) {
  WeakRef<Watcher> weak;
  bool expired = false;
  bool locked = true;
  long use_count = -1;
  StrongRef<Watcher> strong = MakeStrong<Watcher>([&] {
    expired = weak.expired();
    locked = weak.lock() != nullptr;
    use_count = weak.use_count();
  });
  weak = strong;
  strong.reset();
  EXPECT_TRUE(expired);
  EXPECT_FALSE(locked);
  EXPECT_EQ(use_count, 0);
}

TEST(Hazard, DestructorCannotReachItsOwnObject) {
  // Row 2: an object looks itself up in its destructor, here in a map of weak references.
  std::map<int, WeakRef<Watcher>> by_key;
  int found = 0;
  int deaths = 0;
  StrongRef<Watcher> strong = MakeStrong<Watcher>([&] {
    ++deaths;
    if (by_key[7].lock() != nullptr) ++found;
    by_key.erase(7);
  });
  by_key[7] = strong;
  strong.reset();
  EXPECT_EQ(found, 0);
  EXPECT_EQ(deaths, 1);
  EXPECT_TRUE(by_key.empty());
}

}  // namespace
}  // namespace weakref
