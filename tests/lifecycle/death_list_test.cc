// How cancelled nodes leave a plain block's list while the object lives.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/gate.h"
#include "tests/support/test_block.h"
#include "weakref/internal/death_node.h"

namespace weakref {
namespace {

using Sync = internal::RealSync;
using List = internal::DeathList<Sync>;
using support::BlockLog;
using support::Gate;
using TestBlock = support::TestBlock<Sync>;

constexpr int kMinThreshold = 1 << List::kMinThresholdLog2;

// What became of the nodes of one test.
struct NodeLog {
  std::atomic<int> listed{0};
  std::vector<int> died;  // numbers, in order
  std::function<void(int)> at_drop = [](int) {};
};

class TestNode final : public internal::DeathNode<Sync> {
 public:
  static TestNode* Register(TestBlock* block, NodeLog* log, int number = 0) {
    auto* node = new TestNode(block, log, number);
    block->AddWeak();
    List::MaybeSweep(block);
    List::Push(block, node);
    return node;
  }
  void Cancel(TestBlock* block) {
    cancelled_ = true;
    List::CountCancelled(block);
    block->DropWeak();
  }

 private:
  using Node = internal::DeathNode<Sync>;
  TestNode(TestBlock* block, NodeLog* log, int number)
      : Node(&kOps), block_(block), log_(log), number_(number) {
    ++log->listed;
  }

  static TestNode* Self(Node* node) { return static_cast<TestNode*>(node); }
  void End() {
    --log_->listed;
    delete this;
  }
  static void OnDestroyed(Node* node) noexcept {
    TestNode* self = Self(node);
    if (!self->cancelled_) {
      self->log_->died.push_back(self->number_);
      self->block_->DropWeak();
    }
    self->End();
  }
  static bool IsCancelled(const Node* node) noexcept {
    return static_cast<const TestNode*>(node)->cancelled_;
  }
  static void Drop(Node* node) noexcept {
    Self(node)->log_->at_drop(Self(node)->number_);
    Self(node)->End();
  }
  static constexpr Node::Ops kOps = {nullptr, &OnDestroyed, &IsCancelled, &Drop};

  TestBlock* const block_;
  NodeLog* const log_;
  const int number_;
  std::atomic<bool> cancelled_{false};
};

void RegisterAndCancel(TestBlock* block, NodeLog* log, int times) {
  for (int i = 0; i < times; ++i) TestNode::Register(block, log)->Cancel(block);
}

TEST(DeathList, CancelledNodesAreSweptAndLiveOnesDieNewestFirst) {
  BlockLog block_log;
  NodeLog log;
  TestBlock* block = TestBlock::Make(&block_log);
  std::vector<int> expected;
  for (int i = 0; i < 10; ++i) {
    TestNode::Register(block, &log, i);
    expected.insert(expected.begin(), i);
    RegisterAndCancel(block, &log, 100);
  }
  // Two to one, one batch that is growing, and the head.
  EXPECT_LE(log.listed, 10 + 4 * 10 + kMinThreshold);
  const int left = log.listed;
  block->ReleaseStrong();
  EXPECT_EQ(log.listed, 0);
  EXPECT_EQ(block_log.freed, 1);
  EXPECT_EQ(log.died, expected);
  EXPECT_GE(left, 10);
}

// What is cancelled in a part that another sweeper walks, or has walked, leaves later.
TEST(DeathList, OldNodesThatAreCancelledLateAreSwept) {
  BlockLog block_log;
  NodeLog log;
  TestBlock* block = TestBlock::Make(&block_log);
  std::vector<TestNode*> old;
  for (int i = 0; i < 1000; ++i) old.push_back(TestNode::Register(block, &log));
  RegisterAndCancel(block, &log, 5000);  // the threshold is that of 1000 live nodes now
  for (TestNode* node : old) node->Cancel(block);
  RegisterAndCancel(block, &log, 5000);
  EXPECT_LE(log.listed, 4 * kMinThreshold);
  block->ReleaseStrong();
  EXPECT_EQ(log.listed, 0);
}

// A sweeper that takes long (its thread sleeps; there is much to drop) holds up nobody else's
// sweeping: otherwise the list grows without bound, and every sweep is longer than the last one.
TEST(DeathList, OthersSweepWhileOneSweeperIsHeldUp) {
  BlockLog block_log;
  NodeLog log;
  TestBlock* block = TestBlock::Make(&block_log);
  Gate in_sweep("in sweep");
  Gate go_on("go on");
  // A live node below, that the held up sweeper is to keep.
  TestNode::Register(block, &log, 7);
  RegisterAndCancel(block, &log, kMinThreshold);
  std::atomic<bool> first{true};
  log.at_drop = [&](int) {
    if (!first.exchange(false)) return;
    in_sweep.Open();
    go_on.Wait();
  };
  ASSERT_TRUE(block->Promote());
  std::thread sweeper([&] {
    TestNode::Register(block, &log, 8);
    block->ReleaseStrong();
  });
  in_sweep.Wait();
  int most = 0;
  for (int i = 0; i < 1000; ++i) {
    RegisterAndCancel(block, &log, 10);
    most = std::max(most, log.listed.load());
  }
  EXPECT_LE(most, 2 + kMinThreshold + 1 + 2 * kMinThreshold);
  go_on.Open();
  sweeper.join();
  // Nothing of the former parts is forgotten.
  RegisterAndCancel(block, &log, 10 * kMinThreshold);
  EXPECT_LE(log.listed, 2 + 2 * kMinThreshold);
  block->ReleaseStrong();
  EXPECT_EQ(log.listed, 0);
  EXPECT_EQ(log.died, (std::vector<int>{8, 7}));
}

// Dropping a node may run user code, which may register: on the same object, inside the sweep.
TEST(DeathList, SweepInsideASweep) {
  BlockLog block_log;
  NodeLog log;
  TestBlock* block = TestBlock::Make(&block_log);
  int depth = 0;
  log.at_drop = [&](int) {
    if (++depth == 1) {
      RegisterAndCancel(block, &log, 10 * kMinThreshold);
      EXPECT_LE(log.listed, 5 * kMinThreshold);
    }
    --depth;
  };
  TestNode::Register(block, &log, 5);
  RegisterAndCancel(block, &log, 10 * kMinThreshold);
  EXPECT_LE(log.listed, 3 * kMinThreshold);
  block->ReleaseStrong();
  EXPECT_EQ(log.listed, 0);
  EXPECT_EQ(log.died, std::vector<int>{5});
}

// More cancellations than the counter has room for reach no other field.
TEST(DeathList, CountOfCancelledStopsBeforeItOverflows) {
  BlockLog block_log;
  NodeLog log;
  TestBlock* block = TestBlock::Make(&block_log);
  block->aux().store(uint32_t{1} << List::kMaxThresholdLog2);
  for (int i = 0; i < 100; ++i) List::CountCancelled(block);
  EXPECT_EQ(block->aux().load(), uint32_t{1} << List::kMaxThresholdLog2);
  block->ReleaseStrong();
}

}  // namespace
}  // namespace weakref
