// StrongRef, held against the interface of std::shared_ptr.

#include "weakref/strong_ref.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "gtest/gtest.h"
#include "tests/support/heap_count.h"
#include "tests/support/instance_counter.h"
#include "weakref/make_strong.h"
#include "weakref/weak_ref.h"

namespace weakref {
namespace {

using support::Counted;
using support::FailingHeap;
using support::InstanceCounts;
using support::LiveHeapBlocks;

struct Base {
  explicit Base(InstanceCounts* counts) : counted(counts) {}
  virtual ~Base() = default;
  Counted counted;
  int value = 1;
};
struct Other {
  virtual ~Other() = default;
  int other = 2;
};
// Base is not at offset 0, so that a conversion changes the pointer.
struct Derived : Other, Base {
  explicit Derived(InstanceCounts* counts) : Base(counts) {}
};

// ---- what the types allow ----

static_assert(std::is_nothrow_default_constructible_v<StrongRef<int>>);
static_assert(std::is_nothrow_copy_constructible_v<StrongRef<int>>);
static_assert(std::is_nothrow_move_constructible_v<StrongRef<int>>);
static_assert(std::is_nothrow_copy_assignable_v<StrongRef<int>>);
static_assert(std::is_nothrow_move_assignable_v<StrongRef<int>>);
static_assert(std::is_nothrow_destructible_v<StrongRef<int>>);
static_assert(std::is_nothrow_swappable_v<StrongRef<int>>);
static_assert(std::is_nothrow_constructible_v<StrongRef<int>, std::nullptr_t>);

static_assert(std::is_convertible_v<StrongRef<Derived>, StrongRef<Base>>);
static_assert(!std::is_constructible_v<StrongRef<Derived>, StrongRef<Base>>);
static_assert(std::is_convertible_v<StrongRef<int>, StrongRef<const int>>);
static_assert(!std::is_constructible_v<StrongRef<int>, StrongRef<const int>>);
static_assert(std::is_convertible_v<StrongRef<int>, StrongRef<void>>);
static_assert(!std::is_constructible_v<StrongRef<int>, StrongRef<void>>);
static_assert(!std::is_constructible_v<StrongRef<int>, StrongRef<long>>);
static_assert(!std::is_assignable_v<StrongRef<Derived>&, StrongRef<Base>>);

static_assert(std::is_convertible_v<std::unique_ptr<Derived>, StrongRef<Base>>);
static_assert(!std::is_constructible_v<StrongRef<Derived>, std::unique_ptr<Base>>);
static_assert(std::is_convertible_v<std::nullptr_t, StrongRef<int>>);
// A plain pointer becomes an owner only where somebody says so.
static_assert(std::is_constructible_v<StrongRef<int>, int*>);
static_assert(!std::is_convertible_v<int*, StrongRef<int>>);
static_assert(!std::is_constructible_v<StrongRef<Derived>, Base*>);
static_assert(!std::is_convertible_v<StrongRef<int>, bool>);
static_assert(std::is_constructible_v<bool, StrongRef<int>>);

static_assert(std::is_same_v<StrongRef<int>::element_type, int>);
static_assert(std::is_same_v<StrongRef<int>::weak_type, WeakRef<int>>);
static_assert(std::is_same_v<decltype(StrongRef(std::unique_ptr<int>())), StrongRef<int>>);
static_assert(std::is_same_v<decltype(StrongRef(WeakRef<int>())), StrongRef<int>>);

// ---- empty references ----

TEST(StrongRef, DefaultOwnsNothing) {
  const StrongRef<int> empty;
  EXPECT_EQ(empty.get(), nullptr);
  EXPECT_EQ(empty.use_count(), 0);
  EXPECT_FALSE(empty);
  EXPECT_TRUE(empty == nullptr);
  EXPECT_TRUE(nullptr == empty);
  EXPECT_EQ(empty, StrongRef<int>(nullptr));
}

TEST(StrongRef, EmptyCanBeCopiedMovedSwappedReset) {
  StrongRef<int> a;
  StrongRef<int> b(a);
  StrongRef<int> c(std::move(a));
  b = c;
  c = std::move(b);
  c.swap(b);
  c.reset();
  EXPECT_EQ(c.use_count(), 0);
}

TEST(StrongRef, IsConstantInitialised) {
  static constinit StrongRef<int> global;
  EXPECT_FALSE(global);
}

// ---- ownership ----

TEST(StrongRef, LastOneDestroysTheObjectOnce) {
  InstanceCounts counts;
  {
    const StrongRef<Base> first(new Base(&counts));
    {
      const StrongRef<Base> second = first;
      EXPECT_EQ(first.use_count(), 2);
      EXPECT_EQ(first.get(), second.get());
    }
    EXPECT_EQ(first.use_count(), 1);
    EXPECT_EQ(counts.destroyed(), 0);
  }
  EXPECT_EQ(counts.destroyed(), 1);
}

TEST(StrongRef, DeletesByTheTypeThatItWasGiven) {
  struct Plain {  // no virtual destructor
    int value = 0;
  };
  struct Owner : Plain {
    explicit Owner(InstanceCounts* counts) : counted(counts) {}
    Counted counted;
  };
  InstanceCounts counts;
  { const StrongRef<Plain> plain(new Owner(&counts)); }
  { const StrongRef<void> nothing(new Owner(&counts)); }
  EXPECT_EQ(counts.destroyed(), 2);
}

TEST(StrongRef, CopyAssignmentDropsTheOldObject) {
  InstanceCounts counts;
  StrongRef<Base> a(new Base(&counts));
  const StrongRef<Base> b(new Base(&counts));
  a = b;
  EXPECT_EQ(counts.live(), 1);
  EXPECT_EQ(a, b);
  EXPECT_EQ(b.use_count(), 2);
}

TEST(StrongRef, MoveLeavesTheSourceEmptyAndTheCountAlone) {
  InstanceCounts counts;
  StrongRef<Base> a(new Base(&counts));
  Base* const object = a.get();
  StrongRef<Base> b(std::move(a));
  EXPECT_EQ(a.get(), nullptr);
  EXPECT_EQ(a.use_count(), 0);
  EXPECT_EQ(b.get(), object);
  EXPECT_EQ(b.use_count(), 1);
  a = std::move(b);
  EXPECT_EQ(b.use_count(), 0);
  EXPECT_EQ(a.get(), object);
  EXPECT_EQ(a.use_count(), 1);
}

TEST(StrongRef, SelfAssignmentKeepsTheObject) {
  InstanceCounts counts;
  StrongRef<Base> a(new Base(&counts));
  StrongRef<Base>& same = a;
  a = same;
  EXPECT_EQ(a.use_count(), 1);
  a = std::move(same);
  EXPECT_EQ(a.use_count(), 1);
  EXPECT_EQ(counts.live(), 1);
  a.swap(same);
  EXPECT_EQ(a.use_count(), 1);
}

TEST(StrongRef, ConversionToBaseMovesThePointer) {
  InstanceCounts counts;
  StrongRef<Derived> derived(new Derived(&counts));
  Derived* const object = derived.get();
  StrongRef<Base> base = derived;
  EXPECT_EQ(base.get(), static_cast<Base*>(object));
  EXPECT_NE(static_cast<void*>(base.get()), static_cast<void*>(object));
  EXPECT_EQ(derived.use_count(), 2);
  base = std::move(derived);
  EXPECT_EQ(derived.get(), nullptr);
  EXPECT_EQ(base.use_count(), 1);
  derived.reset();
  EXPECT_EQ(counts.live(), 1);
  base = StrongRef<Derived>(new Derived(&counts));
  EXPECT_EQ(counts.destroyed(), 1);
  base.reset();
  EXPECT_EQ(counts.live(), 0);
}

TEST(StrongRef, ConstAndVoidShareOwnership) {
  InstanceCounts counts;
  StrongRef<const Base> constant = MakeStrong<Base>(&counts);
  const StrongRef<const void> nothing = constant;
  EXPECT_EQ(nothing.get(), constant.get());
  EXPECT_EQ(constant->value, 1);
  constant.reset();
  EXPECT_EQ(counts.live(), 1);
}

struct Incomplete;
StrongRef<Incomplete> MakeIncomplete(InstanceCounts* counts);

TEST(StrongRef, IncompleteTypeCanBeHeldCopiedAndDropped) {
  InstanceCounts counts;
  {
    StrongRef<Incomplete> a = MakeIncomplete(&counts);
    const StrongRef<Incomplete> b = a;
    const WeakRef<Incomplete> weak = a;
    a.reset();
    EXPECT_EQ(counts.live(), 1);
    EXPECT_EQ(weak.lock(), b);
  }
  EXPECT_EQ(counts.destroyed(), 1);
}

struct Incomplete {
  explicit Incomplete(InstanceCounts* counts) : counted(counts) {}
  Counted counted;
};
StrongRef<Incomplete> MakeIncomplete(InstanceCounts* counts) {
  return StrongRef<Incomplete>(new Incomplete(counts));
}

TEST(StrongRef, DereferenceGivesTheObject) {
  StrongRef<std::string> text = MakeStrong<std::string>("text");
  EXPECT_EQ(*text, "text");
  EXPECT_EQ(text->size(), 4);
  EXPECT_EQ(&*text, text.get());
  // As a pointer, its constness is not the object's.
  const StrongRef<std::string>& constant = text;
  constant->push_back('!');
  EXPECT_EQ(*text, "text!");
}

// ---- reset, swap ----

TEST(StrongRef, ResetDropsAndResetWithPointerTakesOver) {
  InstanceCounts counts;
  StrongRef<Base> a(new Base(&counts));
  a.reset(new Derived(&counts));
  EXPECT_EQ(counts.destroyed(), 1);
  EXPECT_EQ(a.use_count(), 1);
  a.reset();
  EXPECT_EQ(counts.destroyed(), 2);
  EXPECT_EQ(a, nullptr);
}

TEST(StrongRef, ResetWithDeleterAndAllocatorUsesThem) {
  InstanceCounts counts;
  int deleted = 0;
  StrongRef<Base> a;
  const auto deleter = [&deleted](Base* object) {
    ++deleted;
    delete object;
  };
  a.reset(new Base(&counts), deleter);
  a.reset(new Base(&counts), deleter, std::allocator<int>());
  a.reset();
  EXPECT_EQ(deleted, 2);
  EXPECT_EQ(counts.live(), 0);
}

TEST(StrongRef, SwapExchangesObjectsAndCounts) {
  StrongRef<int> one = MakeStrong<int>(1);
  StrongRef<int> two = MakeStrong<int>(2);
  const StrongRef<int> keep = two;
  one.swap(two);
  EXPECT_EQ(*one, 2);
  EXPECT_EQ(one.use_count(), 2);
  swap(one, two);
  EXPECT_EQ(*one, 1);
  EXPECT_EQ(one.use_count(), 1);
}

// ---- re-entrancy: a destructor that looks at the reference that dies ----

struct Reentrant {
  explicit Reentrant(std::function<void()> on_death) : at_death(std::move(on_death)) {}
  ~Reentrant() { at_death(); }
  std::function<void()> at_death;
};

TEST(StrongRef, DestructorSeesTheReferenceResetAlready) {
  StrongRef<Reentrant> reference;
  bool was_empty = false;
  reference = MakeStrong<Reentrant>([&] {
    was_empty = reference == nullptr && reference.use_count() == 0;
    reference.reset();  // again: nothing left to drop
  });
  reference.reset();
  EXPECT_TRUE(was_empty);
}

TEST(StrongRef, DestructorMayRefillTheReferenceThatIsReset) {
  StrongRef<Reentrant> reference;
  int deaths = 0;
  reference = MakeStrong<Reentrant>([&] {
    ++deaths;
    reference = MakeStrong<Reentrant>([&] { ++deaths; });
  });
  reference.reset();
  EXPECT_EQ(deaths, 1);
  EXPECT_NE(reference, nullptr);
  reference.reset();
  EXPECT_EQ(deaths, 2);
}

TEST(StrongRef, DestructorSeesTheNewObjectDuringAssignment) {
  StrongRef<Reentrant> reference;
  const StrongRef<Reentrant> successor = MakeStrong<Reentrant>([] {});
  const Reentrant* seen = nullptr;
  reference = MakeStrong<Reentrant>([&] { seen = reference.get(); });
  reference = successor;
  EXPECT_EQ(seen, successor.get());
}

TEST(StrongRef, AssignmentFromAMemberOfTheDyingObjectWorks) {
  struct Node {
    explicit Node(InstanceCounts* counts) : counted(counts) {}
    Counted counted;
    StrongRef<Node> next;
  };
  InstanceCounts counts;
  StrongRef<Node> head = MakeStrong<Node>(&counts);
  head->next = MakeStrong<Node>(&counts);
  head = head->next;
  EXPECT_EQ(counts.live(), 1);
  head->next = MakeStrong<Node>(&counts);
  head = std::move(head->next);
  EXPECT_EQ(counts.live(), 1);
  EXPECT_EQ(head.use_count(), 1);
}

// ---- aliasing ----

TEST(StrongRef, AliasSharesTheOwnerAndPointsElsewhere) {
  struct Pair {
    explicit Pair(InstanceCounts* counts) : counted(counts) {}
    Counted counted;
    int part = 7;
  };
  InstanceCounts counts;
  StrongRef<Pair> whole = MakeStrong<Pair>(&counts);
  StrongRef<int> part(whole, &whole->part);
  EXPECT_EQ(whole.use_count(), 2);
  EXPECT_TRUE(part.owner_equal(whole));
  whole.reset();
  EXPECT_EQ(counts.live(), 1);
  EXPECT_EQ(*part, 7);
  part.reset();
  EXPECT_EQ(counts.live(), 0);
}

TEST(StrongRef, MovedAliasTakesTheCountOver) {
  StrongRef<std::pair<int, int>> whole = MakeStrong<std::pair<int, int>>(1, 2);
  int* const second = &whole->second;
  const StrongRef<int> part(std::move(whole), second);
  EXPECT_EQ(whole.get(), nullptr);
  EXPECT_EQ(whole.use_count(), 0);
  EXPECT_EQ(part.use_count(), 1);
  EXPECT_EQ(*part, 2);
}

TEST(StrongRef, AliasOfNothingPointsAndOwnsNothing) {
  int value = 3;
  const StrongRef<int> alias(StrongRef<void>(), &value);
  EXPECT_EQ(alias.get(), &value);
  EXPECT_EQ(alias.use_count(), 0);
  const StrongRef<int> copy = alias;
  EXPECT_EQ(*copy, 3);
}

TEST(StrongRef, NullAliasKeepsTheOwner) {
  InstanceCounts counts;
  StrongRef<Base> owner(new Base(&counts));
  StrongRef<int> null_alias(owner, nullptr);
  owner.reset();
  EXPECT_FALSE(null_alias);
  EXPECT_EQ(null_alias.use_count(), 1);
  EXPECT_EQ(counts.live(), 1);
}

// ---- casts ----

TEST(StrongRefCast, StaticSharesTheObject) {
  InstanceCounts counts;
  StrongRef<Base> base = MakeStrong<Derived>(&counts);
  const StrongRef<Derived> derived = static_pointer_cast<Derived>(base);
  EXPECT_EQ(static_cast<Base*>(derived.get()), base.get());
  EXPECT_EQ(base.use_count(), 2);
}

TEST(StrongRefCast, DynamicFindsTheObjectOrNothing) {
  InstanceCounts counts;
  const StrongRef<Base> base = MakeStrong<Derived>(&counts);
  const StrongRef<Base> plain = MakeStrong<Base>(&counts);
  EXPECT_EQ(dynamic_pointer_cast<Derived>(base), base);
  EXPECT_EQ(dynamic_pointer_cast<Other>(base)->other, 2);
  EXPECT_EQ(dynamic_pointer_cast<Derived>(plain), nullptr);
  EXPECT_EQ(dynamic_pointer_cast<Derived>(plain).use_count(), 0);
  EXPECT_EQ(plain.use_count(), 1);
}

TEST(StrongRefCast, ConstRemovesConst) {
  const StrongRef<const int> constant = MakeStrong<int>(1);
  const StrongRef<int> mutable_ref = const_pointer_cast<int>(constant);
  *mutable_ref = 2;
  EXPECT_EQ(*constant, 2);
  EXPECT_EQ(constant.use_count(), 2);
}

TEST(StrongRefCast, ReinterpretKeepsTheAddress) {
  const StrongRef<uint64_t> number = MakeStrong<uint64_t>(0);
  const StrongRef<unsigned char> bytes = reinterpret_pointer_cast<unsigned char>(number);
  EXPECT_EQ(static_cast<void*>(bytes.get()), static_cast<void*>(number.get()));
  EXPECT_EQ(number.use_count(), 2);
}

TEST(StrongRefCast, RvalueGivesItsCountAway) {
  InstanceCounts counts;
  StrongRef<Base> base = MakeStrong<Derived>(&counts);
  StrongRef<Derived> derived = static_pointer_cast<Derived>(std::move(base));
  EXPECT_EQ(base, nullptr);
  EXPECT_EQ(derived.use_count(), 1);
  base = derived;
  derived.reset();
  derived = dynamic_pointer_cast<Derived>(std::move(base));
  EXPECT_EQ(base, nullptr);
  EXPECT_EQ(derived.use_count(), 1);
  StrongRef<const Derived> constant = std::move(derived);
  derived = const_pointer_cast<Derived>(std::move(constant));
  EXPECT_EQ(constant, nullptr);
  EXPECT_EQ(derived.use_count(), 1);
  const StrongRef<Other> bytes = reinterpret_pointer_cast<Other>(std::move(derived));
  EXPECT_EQ(derived, nullptr);
  EXPECT_EQ(bytes.use_count(), 1);
}

TEST(StrongRefCast, FailedDynamicRvalueKeepsItsReference) {
  InstanceCounts counts;
  StrongRef<Base> plain = MakeStrong<Base>(&counts);
  EXPECT_EQ(dynamic_pointer_cast<Derived>(std::move(plain)), nullptr);
  EXPECT_NE(plain, nullptr);
  EXPECT_EQ(plain.use_count(), 1);
}

TEST(StrongRefCast, EmptyGivesEmpty) {
  EXPECT_EQ(static_pointer_cast<Derived>(StrongRef<Base>()).use_count(), 0);
  EXPECT_EQ(dynamic_pointer_cast<Derived>(StrongRef<Base>()), nullptr);
}

// ---- deleters ----

TEST(StrongRefDeleter, RunsOnceWithThePointerThatWasGiven) {
  InstanceCounts counts;
  std::vector<const void*> deleted;
  auto* object = new Derived(&counts);
  {
    const StrongRef<Base> base(object, [&](Derived* pointer) {
      deleted.push_back(pointer);
      delete pointer;
    });
  }
  EXPECT_EQ(deleted, std::vector<const void*>{object});
  EXPECT_EQ(counts.destroyed(), 1);
}

TEST(StrongRefDeleter, RunsWhenTheLastStrongGoesAndLivesAsLongAsTheBlock) {
  InstanceCounts deleters;
  InstanceCounts objects;
  StrongRef<Base> strong(new Base(&objects),
                         [counted = Counted(&deleters)](Base* object) { delete object; });
  WeakRef<Base> weak = strong;
  strong.reset();
  EXPECT_EQ(objects.live(), 0);
  EXPECT_EQ(deleters.live(), 1);
  weak.reset();
  EXPECT_EQ(deleters.live(), 0);
}

TEST(StrongRefDeleter, NullptrWithDeleterOwnsNull) {
  int calls = 0;
  {
    const StrongRef<int> null(nullptr, [&](std::nullptr_t) { ++calls; });
    EXPECT_EQ(null.get(), nullptr);
    EXPECT_EQ(null.use_count(), 1);
    const StrongRef<int> copy = null;
    EXPECT_EQ(null.use_count(), 2);
  }
  EXPECT_EQ(calls, 1);
}

TEST(StrongRefDeleter, TypedNullPointerIsPassedToTheDeleter) {
  int calls = 0;
  {
    const StrongRef<int> null(static_cast<int*>(nullptr), [&](const int* pointer) {
      EXPECT_EQ(pointer, nullptr);
      ++calls;
    });
    EXPECT_EQ(null.use_count(), 1);
  }
  EXPECT_EQ(calls, 1);
}

TEST(StrongRefDeleter, FunctionPointerIsADeleter) {
  static int calls;
  calls = 0;
  struct Local {
    static void Delete(const int* pointer) {
      ++calls;
      delete pointer;
    }
  };
  { const StrongRef<int> strong(new int(1), &Local::Delete); }
  EXPECT_EQ(calls, 1);
}

TEST(StrongRefDeleter, MoveOnlyDeleterIsMoved) {
  InstanceCounts counts;
  int calls = 0;
  {
    const StrongRef<Base> strong(new Base(&counts),
                                 [owned = std::make_unique<int*>(&calls)](Base* object) {
                                   ++**owned;
                                   delete object;
                                 });
  }
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(counts.live(), 0);
}

TEST(StrongRefDeleter, MayDropTheLastWeakOfItsOwnObject) {
  WeakRef<int> weak;
  int value = 1;
  StrongRef<int> strong(&value, [&](const int*) {
    EXPECT_TRUE(weak.expired());
    weak.reset();
  });
  weak = strong;
  strong.reset();
  EXPECT_EQ(weak.lock(), nullptr);
}

// ---- allocators ----

struct AllocatorLog {
  int allocated = 0;
  int deallocated = 0;
  bool fail = false;
};
template <class T>
struct LoggingAllocator {
  using value_type = T;
  explicit LoggingAllocator(AllocatorLog* to) : log(to) {}
  template <class U>
  LoggingAllocator(const LoggingAllocator<U>& other)  // NOLINT(google-explicit-constructor)
      : log(other.log) {}
  T* allocate(size_t n) {
    if (log->fail) throw std::runtime_error("no memory here");
    ++log->allocated;
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, size_t n) {
    ++log->deallocated;
    std::allocator<T>().deallocate(p, n);
  }
  template <class U>
  bool operator==(const LoggingAllocator<U>& other) const {
    return log == other.log;
  }
  AllocatorLog* log;
};

TEST(StrongRefAllocator, GivesAndGetsTheBlock) {
  InstanceCounts counts;
  AllocatorLog log;
  StrongRef<Base> strong(new Base(&counts), std::default_delete<Base>(),
                         LoggingAllocator<int>(&log));
  WeakRef<Base> weak = strong;
  EXPECT_EQ(log.allocated, 1);
  strong.reset();
  EXPECT_EQ(counts.live(), 0);
  EXPECT_EQ(log.deallocated, 0);
  weak.reset();
  EXPECT_EQ(log.deallocated, 1);
}

TEST(StrongRefAllocator, FailureDestroysTheObjectAndIsPassedOn) {
  InstanceCounts counts;
  AllocatorLog log{.fail = true};
  int deleted = 0;
  const auto deleter = [&](Base* object) {
    ++deleted;
    delete object;
  };
  EXPECT_THROW(StrongRef<Base>(new Base(&counts), deleter, LoggingAllocator<int>(&log)),
               std::runtime_error);
  EXPECT_EQ(deleted, 1);
  EXPECT_EQ(counts.live(), 0);
}

TEST(StrongRefAllocator, FailureCallsTheNullptrDeleter) {
  AllocatorLog log{.fail = true};
  int deleted = 0;
  EXPECT_THROW(StrongRef<int>(
                   nullptr, [&](std::nullptr_t) { ++deleted; }, LoggingAllocator<int>(&log)),
               std::runtime_error);
  EXPECT_EQ(deleted, 1);
}

// A deleter whose moves fail from the n-th on.
struct ThrowingMove {
  ThrowingMove(int* calls, int moves) : deleted(calls), moves_left(moves) {}
  ThrowingMove(ThrowingMove&& other) : deleted(other.deleted), moves_left(other.moves_left - 1) {
    if (moves_left < 0) throw std::runtime_error("move");
  }
  void operator()(const int* object) {
    ++*deleted;
    delete object;
  }
  int* deleted;
  int moves_left;
};

TEST(StrongRefDeleter, FailureToMoveItLeaksNothing) {
  int succeeded = 0;
  for (int moves = 0; moves < 6; ++moves) {
    int deleted = 0;
    AllocatorLog log;
    try {
      const StrongRef<int> strong(new int(1), ThrowingMove(&deleted, moves),
                                  LoggingAllocator<int>(&log));
      ++succeeded;
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "move");
    }
    EXPECT_EQ(deleted, 1);
    EXPECT_EQ(log.deallocated, log.allocated);
  }
  EXPECT_GT(succeeded, 0);
  EXPECT_LT(succeeded, 6);
}

TEST(StrongRefAllocator, NoMemoryForTheBlockDestroysTheObject) {
  InstanceCounts counts;
  bool thrown = false;
  auto* object = new Base(&counts);
  {
    const FailingHeap failing;
    try {
      const StrongRef<Base> strong(object);
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
  }
  EXPECT_TRUE(thrown);
  EXPECT_EQ(counts.live(), 0);
}

TEST(StrongRefAllocator, FailedResetKeepsTheOldObject) {
  InstanceCounts counts;
  AllocatorLog log{.fail = true};
  StrongRef<Base> strong(new Base(&counts));
  Base* const kept = strong.get();
  EXPECT_THROW(
      strong.reset(new Base(&counts), std::default_delete<Base>(), LoggingAllocator<int>(&log)),
      std::runtime_error);
  EXPECT_EQ(strong.get(), kept);
  EXPECT_EQ(counts.live(), 1);
}

// ---- std::unique_ptr ----

TEST(StrongRefFromUnique, TakesOver) {
  InstanceCounts counts;
  auto unique = std::make_unique<Derived>(&counts);
  Base* const object = unique.get();
  StrongRef<Base> strong = std::move(unique);
  EXPECT_EQ(unique, nullptr);
  EXPECT_EQ(strong.get(), object);
  EXPECT_EQ(strong.use_count(), 1);
  strong = std::make_unique<Base>(&counts);
  EXPECT_EQ(counts.destroyed(), 1);
  strong.reset();
  EXPECT_EQ(counts.live(), 0);
}

TEST(StrongRefFromUnique, NullGivesEmpty) {
  const StrongRef<int> strong = std::unique_ptr<int>();
  EXPECT_EQ(strong, nullptr);
  EXPECT_EQ(strong.use_count(), 0);
}

TEST(StrongRefFromUnique, DeleterComesAlong) {
  InstanceCounts counts;
  int calls = 0;
  const auto deleter = [&calls](Base* object) {
    ++calls;
    delete object;
  };
  std::unique_ptr<Base, decltype(deleter)> unique(new Base(&counts), deleter);
  { const StrongRef<Base> strong = std::move(unique); }
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(counts.live(), 0);
}

TEST(StrongRefFromUnique, ReferencedDeleterIsReferredTo) {
  struct Deleter {
    int calls = 0;
    void operator()(const int* pointer) {
      ++calls;
      delete pointer;
    }
  };
  Deleter deleter;
  std::unique_ptr<int, Deleter&> unique(new int(1), deleter);
  { const StrongRef<int> strong = std::move(unique); }
  EXPECT_EQ(deleter.calls, 1);
}

TEST(StrongRefFromUnique, FailureLeavesOwnershipWhereItWas) {
  InstanceCounts counts;
  auto unique = std::make_unique<Base>(&counts);
  Base* const object = unique.get();
  bool thrown = false;
  {
    const FailingHeap failing;
    try {
      const StrongRef<Base> strong(std::move(unique));
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
  }
  EXPECT_TRUE(thrown);
  EXPECT_EQ(unique.get(), object);
  EXPECT_EQ(counts.live(), 1);
}

// A deleter with a state that a move takes away: it must still be there when the move was for
// nothing.
TEST(StrongRefFromUnique, FailureLeavesTheDeleterWhereItWas) {
  int deleted = 0;
  {
    std::unique_ptr<int, std::function<void(int*)>> unique(new int(1), [&](const int* object) {
      ++deleted;
      delete object;
    });
    bool thrown = false;
    {
      const FailingHeap failing;
      try {
        const StrongRef<int> strong(std::move(unique));
      } catch (const std::bad_alloc&) {
        thrown = true;
      }
    }
    EXPECT_TRUE(thrown);
    ASSERT_NE(unique, nullptr);
    ASSERT_TRUE(unique.get_deleter() != nullptr);
  }
  EXPECT_EQ(deleted, 1);
}

// ---- comparison, hash, output, owner ----

TEST(StrongRefCompare, OrdersByPointer) {
  int values[2] = {};
  const StrongRef<int> low(StrongRef<void>(), &values[0]);
  const StrongRef<int> high(StrongRef<void>(), &values[1]);
  const StrongRef<const int> low_const = low;
  EXPECT_TRUE(low < high);
  EXPECT_TRUE(high > low);
  EXPECT_TRUE(low <= low_const);
  EXPECT_TRUE(low == low_const);
  EXPECT_TRUE(low != high);
  EXPECT_TRUE(low_const < high);
  EXPECT_TRUE(low > nullptr);
  EXPECT_TRUE(nullptr < low);
  EXPECT_TRUE(StrongRef<int>() <= nullptr);
  EXPECT_EQ(low <=> high, std::strong_ordering::less);
}

TEST(StrongRefCompare, HashGoesWithEquality) {
  const StrongRef<int> a = MakeStrong<int>(1);
  const StrongRef<int> b = MakeStrong<int>(1);
  EXPECT_EQ(std::hash<StrongRef<int>>()(a), std::hash<int*>()(a.get()));
  const std::unordered_set<StrongRef<int>> standard = {a, a, b};
  const absl::flat_hash_set<StrongRef<int>> abseil = {a, a, b};
  EXPECT_EQ(standard.size(), 2);
  EXPECT_EQ(abseil.size(), 2);
  EXPECT_TRUE(abseil.contains(a));
}

TEST(StrongRefCompare, PrintsThePointer) {
  const StrongRef<int> a = MakeStrong<int>(1);
  std::ostringstream ours;
  std::ostringstream pointers;
  ours << a;
  pointers << static_cast<const void*>(a.get());
  EXPECT_EQ(ours.str(), pointers.str());
}

TEST(StrongRefOwner, AliasesAreEqualAndStrangersAreOrdered) {
  const StrongRef<std::pair<int, int>> a = MakeStrong<std::pair<int, int>>(1, 2);
  const StrongRef<std::pair<int, int>> b = MakeStrong<std::pair<int, int>>(1, 2);
  const StrongRef<int> part(a, &a->second);
  const WeakRef<int> weak = part;
  EXPECT_TRUE(a.owner_equal(part));
  EXPECT_TRUE(a.owner_equal(weak));
  EXPECT_FALSE(a.owner_equal(b));
  EXPECT_FALSE(a.owner_before(part));
  EXPECT_FALSE(part.owner_before(a));
  EXPECT_FALSE(a.owner_before(weak));
  EXPECT_NE(a.owner_before(b), b.owner_before(a));
  EXPECT_EQ(a.owner_hash(), part.owner_hash());
  EXPECT_EQ(a.owner_hash(), weak.owner_hash());
  EXPECT_FALSE(StrongRef<int>().owner_before(StrongRef<long>()));
  EXPECT_TRUE(StrongRef<int>().owner_equal(StrongRef<long>()));
}

TEST(StrongRefOwner, SamePointerOfTwoOwnersIsTwoOwners) {
  int value = 1;
  const auto keep = [](const int*) {};
  const StrongRef<int> a(&value, keep);
  const StrongRef<int> b(&value, keep);
  EXPECT_EQ(a, b);
  EXPECT_FALSE(a.owner_equal(b));
}

// ---- all memory back ----

TEST(StrongRef, EveryKindOfBlockGivesItsMemoryBack) {
  const int64_t before = LiveHeapBlocks();
  {
    InstanceCounts counts;
    const StrongRef<Base> a(new Base(&counts));
    const StrongRef<Base> b = MakeStrong<Base>(&counts);
    const StrongRef<Base> c = std::make_unique<Base>(&counts);
    const StrongRef<Base> d(new Base(&counts), std::default_delete<Base>(), std::allocator<char>());
    const WeakRef<Base> weak[] = {a, b, c, d};
    EXPECT_GT(LiveHeapBlocks(), before);
    EXPECT_EQ(weak[3].lock(), d);
  }
  EXPECT_EQ(LiveHeapBlocks(), before);
}

}  // namespace
}  // namespace weakref
