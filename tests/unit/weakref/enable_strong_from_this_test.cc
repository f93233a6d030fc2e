#include "weakref/enable_strong_from_this.h"

#include <memory>
#include <optional>
#include <utility>

#include "gtest/gtest.h"
#include "tests/support/instance_counter.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using support::Counted;
using support::InstanceCounts;

struct Session : EnableStrongFromThis<Session> {
  explicit Session(InstanceCounts* counts) : counted(counts) {}
  Counted counted;
};

TEST(EnableStrongFromThis, GivesTheOwnersObject) {
  InstanceCounts counts;
  const StrongRef<Session> session = MakeStrong<Session>(&counts);
  const StrongRef<Session> same = session->strong_from_this();
  EXPECT_EQ(same, session);
  EXPECT_TRUE(same.owner_equal(session));
  EXPECT_EQ(session.use_count(), 2);
  EXPECT_EQ(session->weak_from_this().lock(), session);
}

TEST(EnableStrongFromThis, WorksForEveryWayToOwn) {
  InstanceCounts counts;
  const StrongRef<Session> by_pointer(new Session(&counts));
  const StrongRef<Session> by_unique = std::make_unique<Session>(&counts);
  const StrongRef<Session> by_deleter(new Session(&counts), [](Session* s) { delete s; });
  const StrongRef<void> by_void(new Session(&counts));
  EXPECT_EQ(by_pointer->strong_from_this(), by_pointer);
  EXPECT_EQ(by_unique->strong_from_this(), by_unique);
  EXPECT_EQ(by_deleter->strong_from_this(), by_deleter);
  EXPECT_TRUE(static_cast<Session*>(by_void.get())->strong_from_this().owner_equal(by_void));
}

TEST(EnableStrongFromThis, CountsNoWeakReferenceOfItsOwn) {
  InstanceCounts counts;
  const StrongRef<Session> session = MakeStrong<Session>(&counts);
  EXPECT_EQ(GetWeakRefCount(session), 0);
  const WeakRef<Session> weak = session->weak_from_this();
  EXPECT_EQ(GetWeakRefCount(session), 1);
}

TEST(EnableStrongFromThis, ConstObjectGivesConstReferences) {
  InstanceCounts counts;
  const StrongRef<const Session> session = MakeStrong<Session>(&counts);
  const StrongRef<const Session> same = session->strong_from_this();
  const WeakRef<const Session> weak = session->weak_from_this();
  EXPECT_EQ(same, session);
  EXPECT_EQ(weak.lock(), session);
  const StrongRef<const Session> constant = MakeStrong<const Session>(&counts);
  EXPECT_EQ(constant->strong_from_this(), constant);
}

TEST(EnableStrongFromThis, UnownedObjectThrowsAndGivesEmptyWeak) {
  InstanceCounts counts;
  Session session(&counts);
  EXPECT_THROW(session.strong_from_this(), std::bad_weak_ptr);
  EXPECT_TRUE(session.weak_from_this().owner_equal(WeakRef<Session>()));
}

TEST(EnableStrongFromThis, InTheConstructorThereIsNoOwnerYet) {
  struct Early : EnableStrongFromThis<Early> {
    Early() {
      EXPECT_THROW(strong_from_this(), std::bad_weak_ptr);
      EXPECT_TRUE(weak_from_this().expired());
    }
  };
  const StrongRef<Early> early = MakeStrong<Early>();
  EXPECT_EQ(early->strong_from_this(), early);
}

TEST(EnableStrongFromThis, InTheDestructorTheObjectIsDead) {
  struct Late : EnableStrongFromThis<Late> {
    explicit Late(int* deaths) : deaths_(deaths) {}
    ~Late() {
      ++*deaths_;
      EXPECT_THROW(strong_from_this(), std::bad_weak_ptr);
      EXPECT_TRUE(weak_from_this().expired());
      EXPECT_EQ(weak_from_this().lock(), nullptr);
    }
    int* deaths_;
  };
  int deaths = 0;
  { const StrongRef<Late> never_weak = MakeStrong<Late>(&deaths); }
  EXPECT_EQ(deaths, 1);
  {
    StrongRef<Late> once_weak = MakeStrong<Late>(&deaths);
    const WeakRef<Late> weak = once_weak;
    once_weak.reset();
  }
  { const StrongRef<Late> apart(new Late(&deaths)); }
  EXPECT_EQ(deaths, 3);
}

TEST(EnableStrongFromThis, CopyIsNobodys) {
  InstanceCounts counts;
  const StrongRef<Session> session = MakeStrong<Session>(&counts);
  Session copy = *session;
  EXPECT_THROW(copy.strong_from_this(), std::bad_weak_ptr);
  const StrongRef<Session> other = MakeStrong<Session>(&counts);
  *other = *session;  // assignment changes no owner
  EXPECT_EQ(other->strong_from_this(), other);
  const StrongRef<Session> owned_copy = MakeStrong<Session>(*session);
  EXPECT_EQ(owned_copy->strong_from_this(), owned_copy);
}

TEST(EnableStrongFromThis, SecondOwnerDoesNotTakeOver) {
  InstanceCounts counts;
  const StrongRef<Session> first = MakeStrong<Session>(&counts);
  const StrongRef<Session> second(first.get(), [](Session*) {});
  EXPECT_TRUE(second->strong_from_this().owner_equal(first));
  EXPECT_FALSE(second->strong_from_this().owner_equal(second));
}

TEST(EnableStrongFromThis, DerivedObjectIsTheSameObject) {
  struct Derived : Session {
    using Session::Session;
    int more = 9;
  };
  InstanceCounts counts;
  const StrongRef<Derived> derived = MakeStrong<Derived>(&counts);
  const StrongRef<Session> session = derived->strong_from_this();
  EXPECT_TRUE(session.owner_equal(derived));
  EXPECT_EQ(static_pointer_cast<Derived>(session)->more, 9);
}

TEST(EnableStrongFromThis, BaseNotAtOffsetZeroIsFound) {
  struct Front {
    long words[4] = {};
  };
  struct Shifted : Front, EnableStrongFromThis<Shifted> {
    int value = 6;
  };
  const StrongRef<Shifted> strong = MakeStrong<Shifted>();
  EXPECT_EQ(strong->strong_from_this().get(), strong.get());
  EXPECT_EQ(strong->strong_from_this()->value, 6);
}

TEST(EnableStrongFromThis, SelfReferenceKeepsTheObjectUntilItIsDropped) {
  struct Loop : EnableStrongFromThis<Loop> {
    explicit Loop(InstanceCounts* counts) : counted(counts) {}
    Counted counted;
    StrongRef<Loop> self;
  };
  InstanceCounts counts;
  StrongRef<Loop> loop = MakeStrong<Loop>(&counts);
  loop->self = loop->strong_from_this();
  Loop* const object = loop.get();
  loop.reset();
  EXPECT_EQ(counts.live(), 1);
  // The last reference is a member of the object that dies with it.
  const StrongRef<Loop> out = std::move(object->self);
  EXPECT_EQ(out.use_count(), 1);
}

}  // namespace
}  // namespace weakref
