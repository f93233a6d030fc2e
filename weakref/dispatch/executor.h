// Where callbacks run.
//
//   class Executor       one operation, Wake(DrainTicket&&): see that the ticket is run, once
//   class DrainTicket    move-only; run, it runs what is queued; destroyed unrun, nothing is lost
//   class InlineExecutor callbacks run in the thread in which the object died
//
// To bring callbacks to a thread pool of your own:
//
//   class PoolExecutor : public weakref::Executor {
//     void Wake(weakref::DrainTicket&& ticket) override { pool_.Post(std::move(ticket)); }
//     Pool& pool_;
//   };
//
// Ownership: a registration shares ownership of its executor. Work is queued in the library, never
// in the executor: an executor that is stopped, destroyed or throws loses nothing. What it did not
// run waits for the next wake or Executor::Drain(); what is left when the queue itself goes, runs
// in the thread that lets it go.
// Order: started in the order in which they were queued, one at a time per executor.
// Concurrency: Wake is called under no lock of the library's. Enqueueing allocates nothing.

#ifndef WEAKREF_DISPATCH_EXECUTOR_H_
#define WEAKREF_DISPATCH_EXECUTOR_H_

#include <memory>

#include "weakref/internal/dispatch/executor.h"

namespace weakref {

class InlineExecutor final : public Executor {
 public:
  // The one there is.
  static std::shared_ptr<Executor> Get();
  void Wake(DrainTicket&& ticket) override { ticket.Run(); }

 private:
  InlineExecutor() : Executor(RunInline()) {}
};

}  // namespace weakref

#endif  // WEAKREF_DISPATCH_EXECUTOR_H_
