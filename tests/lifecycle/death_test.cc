// How deaths nest: long chains, deep trees, parents that are looked at, threads and programs that
// end.

#include "weakref/internal/death.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/gate.h"
#include "tests/support/heap_count.h"
#include "tests/support/instance_counter.h"
#include "tests/support/stress_scale.h"
#include "weakref/enable_strong_from_this.h"
#include "weakref/expiry_callback.h"
#include "weakref/make_strong.h"
#include "weakref/strong_ref.h"
#include "weakref/weak_ref.h"

namespace weakref {
namespace {

using support::Counted;
using support::InstanceCounts;
using support::LiveHeapBlocks;

constexpr int kDepth = internal::DeathQueue<internal::RealSync>::kMaxDepth;
static_assert(kDepth == 64, "the number that the documentation gives");

// A million frames of a few dozen bytes overflow 8 MiB; so does a tenth of them with a sanitizer's
// frames.
const int kMany = support::ScaledIterations(1'000'000);

struct Node {
  explicit Node(InstanceCounts* counts) : counted(counts) {}
  Counted counted;
  StrongRef<Node> next;
  StrongRef<Node> other;
};

TEST(Death, ChainOfAMillionNodesNeedsNoStack) {
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  StrongRef<Node> head;
  for (int i = 0; i < kMany; ++i) {
    StrongRef<Node> node = MakeStrong<Node>(&counts);
    node->next = std::move(head);
    head = std::move(node);
  }
  head.reset();
  EXPECT_EQ(counts.destroyed(), kMany);
  EXPECT_EQ(LiveHeapBlocks(), before);
}

TEST(Death, ChainOfAMillionNodesWithWeakReferencesNeedsNoStack) {
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  StrongRef<Node> head;
  WeakRef<Node> last;
  for (int i = 0; i < kMany; ++i) {
    StrongRef<Node> node = MakeStrong<Node>(&counts);
    const WeakRef<Node> once(node);
    if (i == 0) last = node;
    node->next = std::move(head);
    head = std::move(node);
  }
  EXPECT_FALSE(last.expired());
  head.reset();
  EXPECT_TRUE(last.expired());
  EXPECT_EQ(counts.destroyed(), kMany);
  EXPECT_EQ(LiveHeapBlocks(), before + 1);
  last.reset();
  EXPECT_EQ(LiveHeapBlocks(), before);
}

TEST(Death, ChainOfObjectsApartFromTheirBlocksNeedsNoStack) {
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  StrongRef<Node> head;
  for (int i = 0; i < kMany / 2; ++i) {
    StrongRef<Node> node(new Node(&counts));
    node->next = std::move(head);
    head = std::move(node);
  }
  head.reset();
  EXPECT_EQ(counts.destroyed(), kMany / 2);
  EXPECT_EQ(LiveHeapBlocks(), before);
}

// The next link hangs on the deleter, which goes when the block does, after the object.
TEST(Death, ChainThroughDeletersNeedsNoStack) {
  InstanceCounts counts;
  StrongRef<Counted> head;
  for (int i = 0; i < kMany / 2; ++i) {
    head = StrongRef<Counted>(new Counted(&counts),
                              [next = std::move(head)](Counted* object) { delete object; });
  }
  head.reset();
  EXPECT_EQ(counts.destroyed(), kMany / 2);
}

TEST(Death, DeepTreeWithALeafAtEachNodeNeedsNoStack) {
  InstanceCounts counts;
  StrongRef<Node> root;
  for (int i = 0; i < kMany / 2; ++i) {
    StrongRef<Node> node = MakeStrong<Node>(&counts);
    // The deep child is once the first and once the second to be destroyed.
    (i % 2 == 0 ? node->next : node->other) = std::move(root);
    (i % 2 == 0 ? node->other : node->next) = MakeStrong<Node>(&counts);
    root = std::move(node);
  }
  root.reset();
  EXPECT_EQ(counts.live(), 0);
  EXPECT_EQ(counts.destroyed(), kMany / 2 * 2);
}

TEST(Death, FullTreeDiesWhole) {
  InstanceCounts counts;
  std::vector<StrongRef<Node>> level;
  for (int i = 0; i < 1 << 14; ++i) level.push_back(MakeStrong<Node>(&counts));
  while (level.size() > 1) {
    std::vector<StrongRef<Node>> parents;
    for (size_t i = 0; i < level.size(); i += 2) {
      parents.push_back(MakeStrong<Node>(&counts));
      parents.back()->next = std::move(level[i]);
      parents.back()->other = std::move(level[i + 1]);
    }
    level = std::move(parents);
  }
  level.clear();
  EXPECT_EQ(counts.live(), 0);
  EXPECT_EQ(counts.destroyed(), (1 << 15) - 1);
}

TEST(Death, SharedTailDiesWithItsLastHead) {
  InstanceCounts counts;
  StrongRef<Node> tail;
  for (int i = 0; i < 1000; ++i) {
    StrongRef<Node> node = MakeStrong<Node>(&counts);
    node->next = std::move(tail);
    tail = std::move(node);
  }
  StrongRef<Node> first = MakeStrong<Node>(&counts);
  StrongRef<Node> second = MakeStrong<Node>(&counts);
  first->next = tail;
  second->next = std::move(tail);
  first.reset();
  EXPECT_EQ(counts.destroyed(), 1);
  second.reset();
  EXPECT_EQ(counts.live(), 0);
}

// ---- children that look at their parents ----

struct Family;
struct FamilyLog {
  int64_t blocks_before = 0;
  int generations = 0;
  int died = 0;
  int saw_parent_alive = 0;
  int saw_parent_dead = 0;
  int freed_too_early = 0;
  int resurrected = 0;
};
// The child is the last member, so it dies first: the rest of its parent is whole meanwhile.
struct Family {
  Family(FamilyLog* to, InstanceCounts* counts, Family* above)
      : log(to), raw_parent(above), counted(counts) {}
  ~Family() {
    ++log->died;
    if (parent.lock() != nullptr) ++log->resurrected;
    if (raw_parent == nullptr) return;
    // Memory of destroyed parents is read, too: AddressSanitizer sees if it has gone back.
    raw_parent->counted.alive() ? ++log->saw_parent_alive : ++log->saw_parent_dead;
    if (LiveHeapBlocks() < log->blocks_before + log->generations) ++log->freed_too_early;
  }
  FamilyLog* log;
  Family* raw_parent;
  WeakRef<Family> parent;
  Counted counted;
  StrongRef<Family> child;
};

void RunFamily(int generations, FamilyLog* log) {
  InstanceCounts counts;
  log->blocks_before = LiveHeapBlocks();
  log->generations = generations;
  StrongRef<Family> root = MakeStrong<Family>(log, &counts, nullptr);
  Family* last = root.get();
  WeakRef<Family> weak_last = root;
  for (int i = 1; i < generations; ++i) {
    last->child = MakeStrong<Family>(log, &counts, last);
    last->child->parent = weak_last;
    weak_last = last->child;
    last = last->child.get();
  }
  weak_last.reset();
  root.reset();
  EXPECT_EQ(counts.live(), 0);
  EXPECT_EQ(log->died, generations);
  EXPECT_EQ(LiveHeapBlocks(), log->blocks_before);
}

TEST(Death, ChildMayLookAtItsParentDownToTheLimit) {
  FamilyLog log;
  RunFamily(kDepth, &log);
  EXPECT_EQ(log.saw_parent_alive, kDepth - 1);
  EXPECT_EQ(log.saw_parent_dead, 0);
  EXPECT_EQ(log.freed_too_early, 0);
  EXPECT_EQ(log.resurrected, 0);
}

TEST(Death, OneDeeperIsQueuedAndItsParentsMemoryKept) {
  FamilyLog log;
  RunFamily(kDepth + 1, &log);
  EXPECT_EQ(log.saw_parent_alive, kDepth - 1);
  EXPECT_EQ(log.saw_parent_dead, 1);
  EXPECT_EQ(log.freed_too_early, 0);
}

TEST(Death, BelowTheLimitParentsMemoryStaysUntilTheQueueIsEmpty) {
  FamilyLog log;
  constexpr int kGenerations = 100 * kDepth;
  RunFamily(kGenerations, &log);
  EXPECT_EQ(log.saw_parent_dead, kGenerations / kDepth - 1);  // the first of each queued run
  EXPECT_EQ(log.saw_parent_alive, kGenerations - kGenerations / kDepth);
  EXPECT_EQ(log.freed_too_early, 0);
  EXPECT_EQ(log.resurrected, 0);
}

// ---- callbacks of deep deaths ----

TEST(Death, CallbacksOfQueuedDeathsRunAfterTheirObjectsOnceEach) {
  struct Link {
    Link(std::vector<int>* to, int i) : events(to), id(i) {}
    ~Link() { events->push_back(id); }
    std::vector<int>* events;
    int id;
    StrongRef<Link> next;
  };
  constexpr int kLinks = 5 * kDepth + 7;
  std::vector<int> events;  // id: destroyed; -1 - id: called back
  std::vector<ExpiryCallback> callbacks;
  StrongRef<Link> head;
  (void)InlineExecutor::Get();  // is made once and stays
  const int64_t before = LiveHeapBlocks();
  for (int i = 0; i < kLinks; ++i) {
    StrongRef<Link> node = MakeStrong<Link>(&events, i);
    for (int k = 0; k < 2; ++k) {
      callbacks.emplace_back(node, [&events, i](const WeakRef<Link>& dead) {
        EXPECT_TRUE(dead.expired());
        events.push_back(-1 - i);
      });
    }
    node->next = std::move(head);
    head = std::move(node);
  }
  head.reset();
  ASSERT_EQ(events.size(), 3 * kLinks);
  std::vector<int> called(kLinks, -1);  // -1: alive; then how often called back
  for (const int event : events) {
    if (event >= 0) {
      EXPECT_EQ(called[event], -1);
      called[event] = 0;
    } else {
      EXPECT_GE(called[-1 - event], 0) << "called back before it was destroyed";
      ++called[-1 - event];
    }
  }
  EXPECT_EQ(called, std::vector<int>(kLinks, 2));
  callbacks.clear();
  callbacks.shrink_to_fit();
  events.clear();
  events.shrink_to_fit();
  called.clear();
  called.shrink_to_fit();
  EXPECT_EQ(LiveHeapBlocks(), before);
}

TEST(Death, CallbackOfAQueuedDeathCanStillBeCancelled) {
  struct Link {
    std::function<void()> at_death = [] {};
    StrongRef<Link> next;
    ~Link() {
      // The body runs before `next` dies, so the bottom's callbacks are queued after this.
      StrongRef<Link> below = std::move(next);
      below.reset();
      at_death();
    }
  };
  StrongRef<Link> bottom = MakeStrong<Link>();
  int calls = 0;
  ExpiryCallback cancelled(bottom, [&](const WeakRef<Link>&) { ++calls; });
  ExpiryCallback kept(bottom, [&](const WeakRef<Link>&) { calls += 100; });
  WeakRef<Link> weak_bottom = bottom;
  StrongRef<Link> head = std::move(bottom);
  for (int i = 0; i < kDepth; ++i) {
    StrongRef<Link> node = MakeStrong<Link>();
    node->next = std::move(head);
    if (i == 0) {  // the deepest that runs inline: the bottom is queued when its body goes on
      node->at_death = [&] {
        EXPECT_TRUE(weak_bottom.expired());
        EXPECT_EQ(calls, 0);
        EXPECT_TRUE(cancelled.Unregister());
      };
    }
    head = std::move(node);
  }
  head.reset();
  EXPECT_EQ(calls, 100);
}

// ---- destructors that make new life ----

TEST(Death, DestructorMayStartAnotherDeepChain) {
  struct Starter {
    explicit Starter(InstanceCounts* to) : counts(to) {}
    ~Starter() {
      StrongRef<Node> head;
      for (int i = 0; i < 1000; ++i) {
        StrongRef<Node> node = MakeStrong<Node>(counts);
        node->next = std::move(head);
        head = std::move(node);
      }
    }
    InstanceCounts* counts;
    StrongRef<Starter> next;
  };
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  StrongRef<Starter> head;
  for (int i = 0; i < 100; ++i) {
    StrongRef<Starter> node = MakeStrong<Starter>(&counts);
    node->next = std::move(head);
    head = std::move(node);
  }
  head.reset();
  EXPECT_EQ(counts.destroyed(), 100'000);
  EXPECT_EQ(LiveHeapBlocks(), before);
}

TEST(Death, WeakKeptBelowTheLimitFreesLater) {
  InstanceCounts counts;
  const int64_t before = LiveHeapBlocks();
  StrongRef<Node> head;
  std::vector<WeakRef<Node>> weak;
  constexpr int kNodes = 3 * kDepth;
  weak.reserve(kNodes);
  for (int i = 0; i < kNodes; ++i) {
    StrongRef<Node> node = MakeStrong<Node>(&counts);
    weak.emplace_back(node);
    node->next = std::move(head);
    head = std::move(node);
  }
  head.reset();
  EXPECT_EQ(counts.live(), 0);
  EXPECT_EQ(LiveHeapBlocks(), before + kNodes + 1);
  for (const WeakRef<Node>& reference : weak) EXPECT_EQ(reference.lock(), nullptr);
  weak.clear();
  EXPECT_EQ(LiveHeapBlocks(), before + 1);
}

// ---- the end of threads and of the program ----

struct UsesReferences {
  ~UsesReferences() {
    if (at_exit) at_exit();
  }
  std::function<void()> at_exit;
};
thread_local UsesReferences first_thread_local;
thread_local UsesReferences second_thread_local;

TEST(ThreadExit, ThreadLocalDestructorsMayUseReferences) {
  InstanceCounts counts;
  const StrongRef<Node> kept = MakeStrong<Node>(&counts);
  int calls = 0;
  std::thread([&] {
    const auto use = [&] {
      StrongRef<Node> head;
      for (int i = 0; i < 1000; ++i) {
        StrongRef<Node> node = MakeStrong<Node>(&counts);
        node->next = std::move(head);
        head = std::move(node);
      }
      ExpiryCallback callback(head, [&](const WeakRef<Node>&) { ++calls; });
      const WeakRef<Node> weak(kept);
      EXPECT_EQ(weak.lock(), kept);
      head.reset();
      EXPECT_FALSE(callback.Unregister());
    };
    first_thread_local.at_exit = use;
    use();
    second_thread_local.at_exit = use;
  }).join();
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(counts.live(), 1);
}

TEST(ThreadExit, ObjectHeldByAThreadLocalDiesWithTheThread) {
  InstanceCounts counts;
  WeakRef<Counted> weak;
  std::thread([&] {
    thread_local StrongRef<Counted> held;
    held = MakeStrong<Counted>(&counts);
    weak = held;
    EXPECT_EQ(counts.live(), 1);
  }).join();
  EXPECT_EQ(counts.destroyed(), 1);
  EXPECT_TRUE(weak.expired());
}

TEST(ThreadExit, ReferencesOutliveTheThreadThatMadeThem) {
  InstanceCounts counts;
  StrongRef<Counted> strong;
  std::optional<ExpiryCallback> callback;
  int calls = 0;
  std::thread([&] {
    strong = MakeStrong<Counted>(&counts);
    callback.emplace(strong, [&](const WeakRef<Counted>&) { ++calls; });
  }).join();
  strong.reset();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(counts.live(), 0);
}

struct Speaks : EnableStrongFromThis<Speaks> {
  ~Speaks() { std::fputs("object destroyed, ", stderr); }
};
void ExitWithStatics() {
  static WeakRef<Speaks> weak;
  static StrongRef<Speaks> strong;
  static ExpiryCallback callback;
  strong = MakeStrong<Speaks>();
  weak = strong;
  callback = ExpiryCallback(strong, [](const WeakRef<Speaks>&) {
    std::fputs("not to be seen: cancelled before\n", stderr);
    std::abort();
  });
  static ExpiryCallback detached(strong, [](const WeakRef<Speaks>& dead) {
    std::fputs(dead.expired() ? "callback ran" : "callback ran early", stderr);
  });
  detached.Detach();
  std::exit(0);
}

TEST(StaticDestructionDeathTest, StaticsMayHoldReferencesAndCallbacks) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(ExitWithStatics(), testing::ExitedWithCode(0), "object destroyed, callback ran$");
}

}  // namespace
}  // namespace weakref
