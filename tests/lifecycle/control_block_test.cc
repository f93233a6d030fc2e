// The state machine of weakref/internal/control_block.h: one test for each edge and each path.
//
// The window between a release and its close is where such code goes wrong. SteppedSync runs the
// other thread's part exactly there, in this thread, every time. All counts are those of the test's
// own block, so every test can say: disposed once, freed once, neither too early.

#include "weakref/internal/control_block.h"

#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/gate.h"
#include "tests/support/run_threads.h"
#include "tests/support/test_block.h"
#include "tests/support/test_syncs.h"

namespace weakref {
namespace {

using support::BlockLog;
using support::Gate;
using support::NarrowSync;
using support::SteppedSync;
using support::TestBlock;

using Op = SteppedSync::Op;
using Block = TestBlock<SteppedSync>;
using NarrowBlock = TestBlock<NarrowSync>;

constexpr size_t kStrongSize = sizeof(SteppedSync::StrongWord);
constexpr size_t kWeakSize = sizeof(SteppedSync::WeakWord);

// Right after this thread's next release has left its count, before it has tried to close.
void InTheWindowOfTheNextRelease(std::function<void()> other_thread) {
  SteppedSync::After(Op::kFetchSub, kStrongSize, std::move(other_thread));
}
// Right after this thread's next successful or failed close.
void RightAfterTheNextClose(std::function<void()> other_thread) {
  SteppedSync::After(Op::kCompareExchange, kStrongSize, std::move(other_thread));
}

static_assert(sizeof(internal::ControlBlock) == 32);
static_assert(sizeof(internal::ControlBlock::Word) == 8, "2^55 failed promotions are years");

// ---- OWNED ----

TEST(ControlBlock, NewBlockIsOwnedOnce) {
  BlockLog log;
  Block* block = Block::Make(&log);
  EXPECT_EQ(block->UseCount(), 1);
  EXPECT_EQ(block->WeakRefCount(), 0);
  EXPECT_FALSE(block->IsClosed());
  block->ReleaseStrong();
}

TEST(ControlBlock, CopiesAreCounted) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->CopyStrong();
  block->AddStrong(3);
  EXPECT_EQ(block->UseCount(), 5);
  for (int i = 0; i < 4; ++i) block->ReleaseStrong();
  EXPECT_EQ(block->UseCount(), 1);
  EXPECT_EQ(log.disposed, 0);
  block->ReleaseStrong();
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 1);
}

// OWNED -> CLOSED
TEST(ControlBlock, NeverWeakClosesAloneWithOneReadModifyWrite) {
  BlockLog log;
  Block* block = Block::Make(&log);
  log.at_dispose = [&] {
    EXPECT_TRUE(block->IsClosed());
    EXPECT_EQ(block->UseCount(), 0);
    EXPECT_EQ(block->WeakRefCount(), 0);
    EXPECT_EQ(log.freed, 0);
  };
  EXPECT_EQ(SteppedSync::CountRmws([&] { block->ReleaseStrong(); }), 1);
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, NeverWeakDestructorCannotPromote) {
  BlockLog log;
  Block* block = Block::Make(&log);
  log.at_dispose = [&] {
    EXPECT_FALSE(block->Promote());
    EXPECT_FALSE(block->Promote());
    EXPECT_EQ(block->UseCount(), 0);
  };
  block->ReleaseStrong();
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, NeverWeakDestructorMayLeakAWeakReference) {
  BlockLog log;
  Block* block = Block::Make(&log);
  log.at_dispose = [&] { block->AddWeak(); };
  block->ReleaseStrong();
  EXPECT_EQ(log.disposed, 1);
  ASSERT_EQ(log.freed, 0);
  EXPECT_FALSE(block->Promote());
  block->DropWeak();
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, NeverWeakDestructorMayMakeAndDropAWeakReference) {
  BlockLog log;
  Block* block = Block::Make(&log);
  log.at_dispose = [&] {
    block->AddWeak();
    block->CopyWeak();
    block->DropWeak();
    block->DropWeak();
    EXPECT_EQ(log.freed, 0);
  };
  block->ReleaseStrong();
  EXPECT_EQ(log.freed, 1);
}

// OWNED -> SHARED
TEST(ControlBlock, FirstWeakTakesThePrepaidTokenWithOneReadModifyWrite) {
  BlockLog log;
  Block* block = Block::Make(&log);
  EXPECT_EQ(SteppedSync::CountRmws([&] { block->AddWeak(); }), 1);
  EXPECT_EQ(block->WeakRefCount(), 1);
  EXPECT_EQ(SteppedSync::CountRmws([&] { block->AddWeak(); }), 1);
  EXPECT_EQ(block->WeakRefCount(), 2);
  block->DropWeak();
  block->DropWeak();
  EXPECT_EQ(block->WeakRefCount(), 0);
  block->ReleaseStrong();
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, TwoFirstWeaksShareOnePrepaidToken) {
  BlockLog log;
  Block* block = Block::Make(&log);
  // Both have seen HAS_WEAK clear; the other one sets it first.
  SteppedSync::After(Op::kLoad, kStrongSize, [&] { block->AddWeak(); });
  block->AddWeak();
  EXPECT_EQ(block->WeakRefCount(), 2);
  block->ReleaseStrong();
  EXPECT_EQ(log.disposed, 1);
  block->DropWeak();
  EXPECT_EQ(log.freed, 0);
  block->DropWeak();
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, HasWeakIsStickyAndLaterWeaksPayForThemselves) {
  BlockLog log;
  Block* block = Block::Make(&log);
  for (int i = 0; i < 3; ++i) {
    block->AddWeak();
    EXPECT_EQ(block->WeakRefCount(), 1);
    block->DropWeak();
    EXPECT_EQ(block->WeakRefCount(), 0);
  }
  block->ReleaseStrong();
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 1);
}

// ---- SHARED ----

TEST(ControlBlock, PromoteAndReleaseAreOneReadModifyWriteEach) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  EXPECT_EQ(SteppedSync::CountRmws([&] { EXPECT_TRUE(block->Promote()); }), 1);
  EXPECT_EQ(block->UseCount(), 2);
  EXPECT_EQ(SteppedSync::CountRmws([&] { block->ReleaseStrong(); }), 1);
  block->ReleaseStrong();
  block->DropWeak();
  EXPECT_EQ(log.freed, 1);
}

// SHARED -> PENDING -> CLOSED
TEST(ControlBlock, WeakOutlivesStrong) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  log.at_dispose = [&] { EXPECT_TRUE(block->IsClosed()); };
  block->ReleaseStrong();
  EXPECT_EQ(log.disposed, 1);
  ASSERT_EQ(log.freed, 0);
  EXPECT_TRUE(block->IsClosed());
  EXPECT_FALSE(block->Promote());
  EXPECT_EQ(block->UseCount(), 0);
  EXPECT_EQ(log.disposed, 1);
  block->DropWeak();
  EXPECT_EQ(log.freed, 1);
}

// The sole token: nobody can promote any more, so no compare-exchange.
TEST(ControlBlock, StrongOutlivesWeakClosesWithOneReadModifyWrite) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  block->DropWeak();
  log.at_dispose = [&] { EXPECT_TRUE(block->IsClosed()); };
  EXPECT_EQ(SteppedSync::CountRmws([&] { block->ReleaseStrong(); }), 1);
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, LastWeakGoesInTheWindowOfTheLastRelease) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  InTheWindowOfTheNextRelease([&] { block->DropWeak(); });
  block->ReleaseStrong();
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, LastWeakGoesBetweenTheTokenCheckAndTheClose) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  InTheWindowOfTheNextRelease(
      [&] { SteppedSync::After(Op::kLoad, kWeakSize, [&] { block->DropWeak(); }); });
  block->ReleaseStrong();
  EXPECT_FALSE(SteppedSync::IsPending());
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 1);
}

// ---- PENDING -> SHARED: a promote in the window ----

TEST(ControlBlock, PromoteInTheWindowKeepsTheObject) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  InTheWindowOfTheNextRelease(
      [&] { EXPECT_EQ(SteppedSync::CountRmws([&] { EXPECT_TRUE(block->Promote()); }), 2); });
  block->ReleaseStrong();
  EXPECT_FALSE(SteppedSync::IsPending());
  EXPECT_EQ(log.disposed, 0);
  EXPECT_FALSE(block->IsClosed());
  EXPECT_EQ(block->UseCount(), 1);
  EXPECT_EQ(block->WeakRefCount(), 1);  // the blocked closer gave its token back
  block->ReleaseStrong();
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 0);
  block->DropWeak();
  EXPECT_EQ(log.freed, 1);
}

// What the bare "sticky counter" gets wrong: a releaser brings the count to 0 and is preempted; a
// weak holder promotes, releases, closes, drops the last weak token; the releaser wakes up.
TEST(ControlBlock, WholeDeathInTheWindowLeavesTheBlockToTheBlockedCloser) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  InTheWindowOfTheNextRelease([&] {
    EXPECT_TRUE(block->Promote());
    block->ReleaseStrong();
    EXPECT_EQ(log.disposed, 1);
    block->DropWeak();
    EXPECT_EQ(log.freed, 0);  // the blocked closer will touch it
  });
  block->ReleaseStrong();
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, WholeDeathInTheWindowWithAWeakLeft) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  InTheWindowOfTheNextRelease([&] {
    EXPECT_TRUE(block->Promote());
    block->ReleaseStrong();
    EXPECT_EQ(log.disposed, 1);
  });
  block->ReleaseStrong();  // its close fails: closed already
  EXPECT_EQ(log.disposed, 1);
  ASSERT_EQ(log.freed, 0);
  EXPECT_FALSE(block->Promote());
  block->DropWeak();
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, WholeDeathBetweenTheTokenCheckAndTheClose) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  InTheWindowOfTheNextRelease([&] {
    SteppedSync::After(Op::kLoad, kWeakSize, [&] {
      EXPECT_TRUE(block->Promote());
      block->ReleaseStrong();
      block->DropWeak();
      EXPECT_EQ(log.disposed, 1);
      EXPECT_EQ(log.freed, 0);
    });
  });
  block->ReleaseStrong();
  EXPECT_FALSE(SteppedSync::IsPending());
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, TwoBlockedClosersBothGiveTheirTokensBack) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  InTheWindowOfTheNextRelease([&] {
    EXPECT_TRUE(block->Promote());
    InTheWindowOfTheNextRelease([&] {
      EXPECT_TRUE(block->Promote());
      EXPECT_EQ(block->WeakRefCount(), 3);  // two closers are blocked at this instant
    });
    block->ReleaseStrong();
  });
  block->ReleaseStrong();
  EXPECT_EQ(log.disposed, 0);
  EXPECT_EQ(block->UseCount(), 1);
  EXPECT_EQ(block->WeakRefCount(), 1);
  block->ReleaseStrong();
  block->DropWeak();
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 1);
}

// The word is the same again, so the first releaser closes for the second one, who stands in his
// own window; each has a token, so it makes no difference which.
TEST(ControlBlock, EarlierCloserMayCloseForALaterOne) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  Gate in_window("first releaser in its window");
  Gate go_on("first releaser goes on");
  std::thread first([&] {
    InTheWindowOfTheNextRelease([&] {
      in_window.Open();
      go_on.Wait();
    });
    block->ReleaseStrong();
    EXPECT_EQ(log.disposed, 1);
  });
  in_window.Wait();
  ASSERT_TRUE(block->Promote());
  InTheWindowOfTheNextRelease([&] {
    go_on.Open();
    first.join();
    EXPECT_EQ(log.disposed, 1);
    EXPECT_EQ(log.freed, 0);
  });
  block->ReleaseStrong();
  EXPECT_EQ(log.disposed, 1);
  ASSERT_EQ(log.freed, 0);
  block->DropWeak();
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, ReleasesThatAreNotLastDoNotDisturbAPendingClose) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  InTheWindowOfTheNextRelease([&] {
    EXPECT_TRUE(block->Promote());
    block->CopyStrong();
    block->ReleaseStrong();
  });
  block->ReleaseStrong();
  EXPECT_EQ(block->UseCount(), 1);
  block->ReleaseStrong();
  block->DropWeak();
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 1);
}

// ---- CLOSED ----

TEST(Hazard, ResurrectionWhileDyingFails) {
  // Row 4: 0 -> 1 while dying. Between the close and the destructor, inside the destructor, after
  // it.
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  int tries = 0;
  const auto try_to_resurrect = [&] {
    EXPECT_FALSE(block->Promote());
    EXPECT_FALSE(block->Promote());
    EXPECT_TRUE(block->IsClosed());
    EXPECT_EQ(block->UseCount(), 0);
    ++tries;
  };
  RightAfterTheNextClose([&] {
    EXPECT_EQ(log.disposed, 0);
    try_to_resurrect();
  });
  log.at_dispose = try_to_resurrect;
  block->ReleaseStrong();
  try_to_resurrect();
  EXPECT_EQ(tries, 3);
  EXPECT_EQ(log.disposed, 1);
  block->DropWeak();
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, FailedPromoteIsOneReadModifyWrite) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  block->ReleaseStrong();
  EXPECT_EQ(SteppedSync::CountRmws([&] { EXPECT_FALSE(block->Promote()); }), 1);
  block->DropWeak();
}

TEST(ControlBlock, DestructorMayDropTheLastWeakOfItsOwnObject) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  log.at_dispose = [&] {
    block->DropWeak();
    EXPECT_EQ(log.freed, 0);
    EXPECT_TRUE(block->IsClosed());  // the memory is there
  };
  block->ReleaseStrong();
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, DestructorMayCopyAWeakAndLeakIt) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  log.at_dispose = [&] {
    block->CopyWeak();
    block->AddWeak();
  };
  block->ReleaseStrong();
  block->DropWeak();
  block->DropWeak();
  ASSERT_EQ(log.freed, 0);
  EXPECT_FALSE(block->Promote());
  block->DropWeak();
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, DropLastTokensFreesOnlyWhenTheyAreAll) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  block->CopyWeak();
  block->ReleaseStrong();  // two tokens left
  block->DropLastTokens(1);
  EXPECT_EQ(log.freed, 0);
  EXPECT_EQ(SteppedSync::CountRmws([&] { block->DropLastTokens(1); }), 0);
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, TokensCanBeAddedAndDroppedInNumbers) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  block->AddTokens(5);
  EXPECT_EQ(block->WeakRefCount(), 6);
  block->ReleaseStrong();
  block->DropTokens(4);
  EXPECT_EQ(log.freed, 0);
  block->DropTokens(2);
  EXPECT_EQ(log.freed, 1);
}

// ---- blocks that a table lists ----

TEST(ControlBlock, UnpublishedEntryClosesWithoutAnObject) {
  BlockLog log;
  Block* block = Block::MakeListed(&log, 17);
  EXPECT_EQ(block->aux().load(std::memory_order_relaxed), 17);
  EXPECT_FALSE(block->IsLinked());
  block->CloseUnpublished(Block::kIsLinked);
  EXPECT_TRUE(block->IsLinked());
  EXPECT_TRUE(block->IsClosed());
  EXPECT_FALSE(block->Promote());
  block->DropLastTokens(2);
  EXPECT_EQ(log.disposed, 0);
  EXPECT_EQ(log.freed, 1);
}

struct Release {
  int calls = 0;
  Block::Word word = 0;
  bool close = true;
};
Release* release_log = nullptr;
void RecordLastRelease(Block::Block* block, Block::Word word) {
  ++release_log->calls;
  release_log->word = word;
  if (!block->TryClose(word)) {
    block->DropWeak();
    return;
  }
  internal::RunDeath<SteppedSync>(block, nullptr);
}

TEST(ControlBlock, ListedBlockGoesOnInItsTableWithTheWordItLeft) {
  BlockLog log;
  Release release;
  release_log = &release;
  Block* block = Block::MakeListed<&RecordLastRelease>(&log);
  block->CopyStrong();
  block->ReleaseStrong();
  EXPECT_EQ(release.calls, 0);
  block->SetHasSide();
  block->ReleaseStrong();
  EXPECT_EQ(release.calls, 1);
  EXPECT_EQ(release.word, Block::kHasWeak | Block::kHasSide);
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 0);  // the table's token
  block->DropLastTokens(1);
  EXPECT_EQ(log.freed, 1);
}

// A flag that an owner set in the window is in the word, so the blocked closer's one shot misses
// and the owner's own release closes with the flag seen.
TEST(ControlBlock, FlagSetInTheWindowReachesTheCloser) {
  BlockLog log;
  Release release;
  release_log = &release;
  Block* block = Block::MakeListed<&RecordLastRelease>(&log);
  InTheWindowOfTheNextRelease([&] {
    EXPECT_TRUE(block->Promote());
    block->SetHasSide();
    block->ReleaseStrong();
    EXPECT_EQ(log.disposed, 1);
    EXPECT_EQ(release.word, Block::kHasWeak | Block::kHasSide);
  });
  block->ReleaseStrong();
  EXPECT_EQ(release.calls, 2);
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 0);
  block->DropLastTokens(1);
  EXPECT_EQ(log.freed, 1);
}

TEST(ControlBlock, CloseOfAnotherWordFails) {
  BlockLog log;
  Block* block = Block::Make(&log);
  block->AddWeak();
  EXPECT_FALSE(block->TryClose(Block::kHasWeak));  // count is 1
  EXPECT_FALSE(block->IsClosed());
  block->ReleaseStrong();
  EXPECT_FALSE(block->TryClose(Block::kHasWeak));  // closed already
  block->DropWeak();
  EXPECT_EQ(log.freed, 1);
}

// ---- counters at their limits, with words of 16 and 8 bits ----

TEST(NarrowControlBlock, TokensBelowHalfTheRangeAreExact) {
  BlockLog log;
  NarrowBlock* block = NarrowBlock::Make(&log);
  block->AddWeak();                                 // 2 tokens
  for (int i = 2; i < 127; ++i) block->CopyWeak();  // 127
  EXPECT_EQ(block->WeakRefCount(), 126);
  block->ReleaseStrong();
  for (int i = 0; i < 125; ++i) block->DropWeak();
  EXPECT_EQ(log.freed, 0);
  block->DropWeak();
  EXPECT_EQ(log.freed, 1);
}

TEST(NarrowControlBlock, SaturatedTokensLeakTheBlockAndNeverWrap) {
  BlockLog log;
  NarrowBlock* block = NarrowBlock::Make(&log);
  block->AddWeak();
  constexpr int kReferences = 10'000;  // 39 times around a byte
  for (int i = 1; i < kReferences; ++i) block->CopyWeak();
  EXPECT_TRUE(block->Promote());
  block->ReleaseStrong();
  block->ReleaseStrong();
  EXPECT_EQ(log.disposed, 1);  // the object dies in any case
  for (int i = 0; i < kReferences; ++i) block->DropWeak();
  EXPECT_EQ(log.freed, 0);
  EXPECT_FALSE(block->Promote());
  block->CopyWeak();
  block->DropLastTokens(1);
  EXPECT_EQ(log.freed, 0);
  NarrowBlock::FreeLeaked(block);
}

TEST(NarrowControlBlock, DropsAloneDoNotBringAPinnedCountDown) {
  BlockLog log;
  NarrowBlock* block = NarrowBlock::Make(&log);
  block->AddWeak();
  for (int i = 0; i < 200; ++i) block->CopyWeak();
  block->ReleaseStrong();
  for (int i = 0; i < 201; ++i) block->DropWeak();
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 0);
  NarrowBlock::FreeLeaked(block);
}

TEST(Hazard, FailedLocksOfADeadObjectNeverWrapIntoLife) {
  // Row 10. In 64 bits this takes 2^56 failed locks; here a count of 8 bits would wrap 400 times.
  BlockLog log;
  NarrowBlock* block = NarrowBlock::Make(&log);
  block->AddWeak();
  block->ReleaseStrong();
  for (int i = 0; i < 100'000; ++i) {
    ASSERT_FALSE(block->Promote()) << i;
    ASSERT_TRUE(block->IsClosed()) << i;
    ASSERT_EQ(block->UseCount(), 0) << i;
  }
  EXPECT_EQ(log.disposed, 1);
  block->DropWeak();
  EXPECT_EQ(log.freed, 1);
}

TEST(Hazard, FailedLocksInManyThreadsNeverWrapIntoLife) {
  BlockLog log;
  NarrowBlock* block = NarrowBlock::Make(&log);
  block->AddWeak();
  block->ReleaseStrong();
  std::atomic<int> resurrected{0};
  support::RunThreads(4, [&](int) {
    for (int i = 0; i < 20'000; ++i) {
      if (block->Promote()) ++resurrected;
    }
  });
  EXPECT_EQ(resurrected, 0);
  EXPECT_TRUE(block->IsClosed());
  EXPECT_EQ(log.disposed, 1);
  block->DropWeak();
  EXPECT_EQ(log.freed, 1);
}

TEST(Hazard, WeakCountThatWrapsDoesNotFreeALivingObject) {
  // Row 10, the other counter (Rust, twice): references are leaked until the count is full.
  BlockLog log;
  NarrowBlock* block = NarrowBlock::Make(&log);
  block->AddWeak();
  for (int i = 0; i < 1'000; ++i) block->CopyWeak();
  for (int i = 0; i < 10; ++i) block->DropWeak();
  EXPECT_EQ(log.freed, 0);
  EXPECT_EQ(log.disposed, 0);
  EXPECT_EQ(block->UseCount(), 1);
  block->ReleaseStrong();
  EXPECT_EQ(log.disposed, 1);
  EXPECT_EQ(log.freed, 0);
  NarrowBlock::FreeLeaked(block);
}

}  // namespace
}  // namespace weakref
