// Executors: where queued callbacks run, and that none is lost whatever an executor does.

#include "weakref/dispatch/executor.h"

#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/gate.h"
#include "tests/support/instance_counter.h"
#include "tests/support/manual_executor.h"
#include "weakref/expiry_callback.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

using support::Counted;
using support::Gate;
using support::InstanceCounts;
using support::ManualExecutor;
using OnWake = ManualExecutor::OnWake;

// An object whose death appends `name` to a string, on an executor.
class Mortal {
 public:
  Mortal(std::string* log, char name, std::shared_ptr<Executor> executor)
      : object_(MakeStrong<int>(1)),
        callback_(
            object_, [log, name](const WeakRef<int>&) { log->push_back(name); },
            std::move(executor)) {}
  void Die() { object_.reset(); }
  ExpiryCallback& callback() { return callback_; }

 private:
  StrongRef<int> object_;
  ExpiryCallback callback_;
};

TEST(InlineExecutor, IsOneAndHasNoQueue) {
  const std::shared_ptr<Executor> executor = InlineExecutor::Get();
  EXPECT_EQ(executor, InlineExecutor::Get());
  EXPECT_EQ(executor->Drain(), 0);
  EXPECT_EQ(executor->ApproxPending(), 0);
  EXPECT_EQ(executor->LostWakes(), 0);
}

TEST(Executor, CallbackWaitsForItsTicket) {
  const auto executor = std::make_shared<ManualExecutor>();
  std::string log;
  Mortal mortal(&log, 'a', executor);
  mortal.Die();
  EXPECT_EQ(log, "");
  EXPECT_EQ(executor->ApproxPending(), 1);
  EXPECT_TRUE(mortal.callback().registered());
  executor->RunTickets();
  EXPECT_EQ(log, "a");
  EXPECT_EQ(executor->ApproxPending(), 0);
  EXPECT_FALSE(mortal.callback().registered());
}

TEST(Executor, CallbackSeesTheDestructorDoneAndReferencesDead) {
  const auto executor = std::make_shared<ManualExecutor>();
  InstanceCounts counts;
  StrongRef<Counted> object = MakeStrong<Counted>(&counts);
  const WeakRef<Counted> weak = object;
  int calls = 0;
  const ExpiryCallback callback(
      object,
      [&](const WeakRef<Counted>& dead) {
        ++calls;
        EXPECT_EQ(dead, weak);
        EXPECT_TRUE(dead.expired());
      },
      executor);
  object.reset();
  EXPECT_EQ(counts.destroyed(), 1);
  executor->RunTickets();
  EXPECT_EQ(calls, 1);
}

TEST(Executor, OneWakeServesAllThatComeBeforeItRuns) {
  const auto executor = std::make_shared<ManualExecutor>();
  std::string log;
  Mortal a(&log, 'a', executor);
  Mortal b(&log, 'b', executor);
  Mortal c(&log, 'c', executor);
  a.Die();
  b.Die();
  EXPECT_EQ(executor->wakes(), 1);
  executor->RunTickets();
  EXPECT_EQ(log, "ab");
  c.Die();
  EXPECT_EQ(executor->wakes(), 2);
  executor->RunTickets();
  EXPECT_EQ(log, "abc");
}

TEST(Executor, OrderIsOfDeathThenNewestFirst) {
  const auto executor = std::make_shared<ManualExecutor>();
  std::string log;
  const auto append = [&log](char name) {
    return [&log, name](const WeakRef<int>&) { log.push_back(name); };
  };
  StrongRef<int> first = MakeStrong<int>(1);
  StrongRef<int> second = MakeStrong<int>(2);
  const ExpiryCallback a(first, append('a'), executor);
  const ExpiryCallback b(first, append('b'), executor);
  const ExpiryCallback c(second, append('c'), executor);
  const ExpiryCallback d(second, append('d'), executor);
  second.reset();
  first.reset();
  executor->RunTickets();
  EXPECT_EQ(log, "dcba");
}

TEST(Executor, CallbacksOfOneObjectGoEachToItsOwnExecutor) {
  const auto one = std::make_shared<ManualExecutor>();
  const auto two = std::make_shared<ManualExecutor>();
  std::string log;
  StrongRef<int> object = MakeStrong<int>(1);
  const ExpiryCallback a(
      object, [&](const WeakRef<int>&) { log += '1'; }, one);
  const ExpiryCallback b(
      object, [&](const WeakRef<int>&) { log += '2'; }, two);
  const ExpiryCallback c(object, [&](const WeakRef<int>&) { log += 'i'; });
  object.reset();
  EXPECT_EQ(log, "i");
  two->RunTickets();
  one->RunTickets();
  EXPECT_EQ(log, "i21");
}

// ---- cancelling what is queued ----

TEST(Executor, QueuedCallbackCanBeCancelled) {
  const auto executor = std::make_shared<ManualExecutor>();
  InstanceCounts callables;
  int calls = 0;
  StrongRef<int> object = MakeStrong<int>(1);
  ExpiryCallback callback(
      object, [&, counted = Counted(&callables)](const WeakRef<int>&) { ++calls; }, executor);
  object.reset();
  EXPECT_EQ(callables.live(), 1);
  EXPECT_TRUE(callback.Unregister());
  EXPECT_EQ(callables.live(), 0);
  executor->RunTickets();
  EXPECT_EQ(calls, 0);
}

TEST(Executor, QueuedCallbackCanBeCancelledByTheOneBeforeIt) {
  const auto executor = std::make_shared<ManualExecutor>();
  std::string log;
  Mortal later(&log, 'l', executor);
  StrongRef<int> object = MakeStrong<int>(1);
  const ExpiryCallback first(
      object, [&](const WeakRef<int>&) { EXPECT_TRUE(later.callback().TryUnregister()); },
      executor);
  object.reset();
  later.Die();
  executor->RunTickets();
  EXPECT_EQ(log, "");
}

TEST(Executor, UnregisterWaitsForACallbackThatADrainRuns) {
  const auto executor = std::make_shared<ManualExecutor>();
  Gate running("running");
  Gate go_on("go on");
  bool finished = false;
  StrongRef<int> object = MakeStrong<int>(1);
  ExpiryCallback callback(
      object,
      [&](const WeakRef<int>&) {
        running.Open();
        go_on.Wait();
        finished = true;
      },
      executor);
  object.reset();
  std::thread drainer([&] { executor->RunTickets(); });
  running.Wait();
  EXPECT_FALSE(callback.TryUnregister());
  std::thread opener([&] { go_on.Open(); });
  EXPECT_FALSE(callback.Unregister());
  EXPECT_TRUE(finished);
  opener.join();
  drainer.join();
}

// ---- tickets ----

TEST(DrainTicket, SecondRunDoesNothing) {
  const auto executor = std::make_shared<ManualExecutor>();
  std::string log;
  Mortal a(&log, 'a', executor);
  Mortal b(&log, 'b', executor);
  a.Die();
  std::vector<DrainTicket> tickets = executor->TakeTickets();
  ASSERT_EQ(tickets.size(), 1);
  tickets[0].Run();
  b.Die();
  tickets[0]();
  EXPECT_EQ(log, "a");
  executor->RunTickets();
  EXPECT_EQ(log, "ab");
}

TEST(DrainTicket, DestroyedUnrunLosesNothing) {
  const auto executor = std::make_shared<ManualExecutor>();
  std::string log;
  Mortal a(&log, 'a', executor);
  Mortal b(&log, 'b', executor);
  a.Die();
  executor->TakeTickets().clear();
  EXPECT_EQ(executor->LostWakes(), 1);
  EXPECT_EQ(log, "");
  EXPECT_EQ(executor->ApproxPending(), 1);
  b.Die();  // wakes again
  EXPECT_EQ(executor->wakes(), 2);
  executor->RunTickets();
  EXPECT_EQ(log, "ab");
}

TEST(DrainTicket, OverwrittenIsLostToo) {
  const auto one = std::make_shared<ManualExecutor>();
  const auto two = std::make_shared<ManualExecutor>();
  std::string log;
  Mortal a(&log, 'a', one);
  Mortal b(&log, 'b', two);
  a.Die();
  b.Die();
  DrainTicket ticket = std::move(one->TakeTickets()[0]);
  DrainTicket& same = ticket;
  ticket = std::move(same);
  EXPECT_EQ(one->LostWakes(), 0);
  ticket = std::move(two->TakeTickets()[0]);
  EXPECT_EQ(one->LostWakes(), 1);
  ticket.Run();
  EXPECT_EQ(log, "b");
  EXPECT_EQ(one->Drain(), 1);
  EXPECT_EQ(log, "ba");
}

TEST(DrainTicket, OutlivesItsExecutor) {
  auto executor = std::make_shared<ManualExecutor>();
  std::string log;
  std::optional<Mortal> mortal(std::in_place, &log, 'a', executor);
  mortal->Die();
  std::vector<DrainTicket> tickets = executor->TakeTickets();
  const std::weak_ptr<Executor> gone = executor;
  executor.reset();
  EXPECT_TRUE(gone.expired());
  EXPECT_EQ(log, "");
  tickets[0].Run();
  EXPECT_EQ(log, "a");
}

TEST(DrainTicket, LastOneDestroyedUnrunRunsWhatIsLeft) {
  auto executor = std::make_shared<ManualExecutor>();
  std::string log;
  Mortal mortal(&log, 'a', executor);
  mortal.Die();
  std::vector<DrainTicket> tickets = executor->TakeTickets();
  executor.reset();
  tickets.clear();  // the queue's last owner
  EXPECT_EQ(log, "a");
}

// ---- executors that fail ----

TEST(Executor, ThatThrowsLosesNothing) {
  const auto executor = std::make_shared<ManualExecutor>(OnWake::kThrow);
  std::string log;
  Mortal a(&log, 'a', executor);
  Mortal b(&log, 'b', executor);
  Mortal c(&log, 'c', executor);
  a.Die();
  b.Die();
  EXPECT_EQ(executor->wakes(), 2);
  EXPECT_EQ(executor->LostWakes(), 2);
  EXPECT_EQ(executor->ApproxPending(), 2);
  executor->SetOnWake(OnWake::kStore);
  c.Die();
  executor->RunTickets();
  EXPECT_EQ(log, "abc");
}

TEST(Executor, ThatDropsTicketsIsDrainedByHand) {
  const auto executor = std::make_shared<ManualExecutor>(OnWake::kDrop);
  std::string log;
  Mortal a(&log, 'a', executor);
  Mortal b(&log, 'b', executor);
  a.Die();
  b.Die();
  EXPECT_EQ(executor->LostWakes(), 2);
  EXPECT_EQ(log, "");
  EXPECT_EQ(executor->Drain(), 2);
  EXPECT_EQ(log, "ab");
  EXPECT_EQ(executor->Drain(), 0);
}

TEST(Executor, DestroyedWithItemsQueuedRunsThem) {
  auto executor = std::make_shared<ManualExecutor>(OnWake::kDrop);
  std::string log;
  Mortal a(&log, 'a', executor);
  Mortal b(&log, 'b', executor);
  Mortal cancelled(&log, 'c', executor);
  a.Die();
  b.Die();
  cancelled.Die();
  cancelled.callback().Unregister();
  executor.reset();
  EXPECT_EQ(log, "ab");
}

TEST(Executor, IsOwnedByItsRegistrations) {
  auto executor = std::make_shared<ManualExecutor>(OnWake::kDrop);
  const std::weak_ptr<Executor> watch = executor;
  std::string log;
  Mortal a(&log, 'a', executor);
  Mortal b(&log, 'b', std::move(executor));
  EXPECT_FALSE(watch.expired());
  a.Die();
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(log, "");
  b.Die();  // the last owner: runs what is queued, here
  EXPECT_TRUE(watch.expired());
  EXPECT_EQ(log, "ab");
}

TEST(Hazard, ExecutorGoneBeforeTheLastDeathLosesNoCallback) {
  // Row 16: a pool that is stopped, and whose owner has left, before the last objects die.
  struct Pool {
    std::mutex mutex;
    std::vector<DrainTicket> work;
    bool stopped = false;
  };
  class PoolExecutor final : public Executor {
   public:
    explicit PoolExecutor(std::shared_ptr<Pool> pool) : pool_(std::move(pool)) {}
    void Wake(DrainTicket&& ticket) override {
      const std::lock_guard<std::mutex> lock(pool_->mutex);
      if (pool_->stopped) throw std::runtime_error("stopped");
      pool_->work.push_back(std::move(ticket));
    }

   private:
    std::shared_ptr<Pool> pool_;
  };
  const auto pool = std::make_shared<Pool>();
  auto executor = std::make_shared<PoolExecutor>(pool);
  std::string log;
  Mortal before_stop(&log, 'b', executor);
  Mortal after_stop(&log, 'a', executor);
  Mortal at_end(&log, 'e', std::move(executor));
  before_stop.Die();
  {
    const std::lock_guard<std::mutex> lock(pool->mutex);
    pool->stopped = true;
    pool->work.clear();  // unrun, as a stopped io_context does
  }
  after_stop.Die();
  EXPECT_EQ(log, "");
  at_end.Die();  // with the last registration the executor goes; its queue runs here
  EXPECT_EQ(log, "bae");
}

// ---- draining ----

TEST(Executor, DrainInsideACallbackDoesNothing) {
  const auto executor = std::make_shared<ManualExecutor>();
  std::string log;
  Mortal later(&log, 'l', executor);
  StrongRef<int> object = MakeStrong<int>(1);
  size_t nested = 99;
  const ExpiryCallback first(
      object,
      [&](const WeakRef<int>&) {
        nested = executor->Drain();
        log += 'f';
      },
      executor);
  object.reset();
  later.Die();
  EXPECT_EQ(executor->Drain(), 2);
  EXPECT_EQ(nested, 0);
  EXPECT_EQ(log, "fl");
}

TEST(Executor, DeathInsideACallbackIsDrainedByTheSameDrain) {
  const auto executor = std::make_shared<ManualExecutor>();
  std::string log;
  Mortal later(&log, 'l', executor);
  StrongRef<int> object = MakeStrong<int>(1);
  const ExpiryCallback first(
      object,
      [&](const WeakRef<int>&) {
        later.Die();
        log += 'f';
      },
      executor);
  object.reset();
  executor->RunTickets();
  EXPECT_EQ(log, "fl");
  EXPECT_EQ(executor->wakes(), 1);  // no second wake while it drains
}

TEST(Executor, TwoDrainsRunOneCallbackAtATime) {
  const auto executor = std::make_shared<ManualExecutor>();
  Gate running("running");
  Gate go_on("go on");
  std::string log;
  StrongRef<int> object = MakeStrong<int>(1);
  const ExpiryCallback slow(
      object,
      [&](const WeakRef<int>&) {
        running.Open();
        go_on.Wait();
        log += 's';
      },
      executor);
  Mortal later(&log, 'l', executor);
  object.reset();
  later.Die();
  std::thread drainer([&] { EXPECT_EQ(executor->Drain(), 2); });
  running.Wait();
  EXPECT_EQ(executor->Drain(), 0);  // that one runs them
  EXPECT_EQ(executor->ApproxPending(), 1);
  go_on.Open();
  drainer.join();
  EXPECT_EQ(log, "sl");
}

TEST(Executor, WakesAgainAfterADrainByHand) {
  const auto executor = std::make_shared<ManualExecutor>();
  std::string log;
  Mortal a(&log, 'a', executor);
  Mortal b(&log, 'b', executor);
  a.Die();
  EXPECT_EQ(executor->Drain(), 1);
  b.Die();
  EXPECT_EQ(executor->wakes(), 2);
  executor->RunTickets();  // one of the two finds nothing
  EXPECT_EQ(log, "ab");
}

TEST(Executor, MayRunItsTicketInWake) {
  class Immediate final : public Executor {
   public:
    void Wake(DrainTicket&& ticket) override { ticket.Run(); }
  };
  const auto executor = std::make_shared<Immediate>();
  std::string log;
  Mortal a(&log, 'a', executor);
  Mortal b(&log, 'b', executor);
  a.Die();
  EXPECT_EQ(log, "a");
  b.Die();
  EXPECT_EQ(log, "ab");
}

}  // namespace
}  // namespace weakref
