// Which thread, while it runs a load, waits for which other thread's load. One graph a process.
//
// A wait that would close a circle would never end; it is found when it begins, and is an error.
// Touched only when a thread that runs a load is about to wait for another's, so that neither hits
// nor ordinary waits come near it.
//
// A thread has one edge at most. Whoever completes a wait takes its edge out before the waiter is
// told; a waiter that gives up takes it out before it leaves. So no edge is ever stale, and a
// circle is never a false alarm.

#ifndef WEAKREF_CACHE_INTERNAL_WAIT_GRAPH_H_
#define WEAKREF_CACHE_INTERNAL_WAIT_GRAPH_H_

#include <utility>

#include "absl/container/flat_hash_map.h"

namespace weakref::internal {

template <class Sync>
class WaitGraph {
 public:
  static WaitGraph& Global() {
    static WaitGraph* const graph = new WaitGraph();  // loads may run during static destruction
    return *graph;
  }

  enum class Added { kWaits, kOver, kCircle };

  // `*over` is guarded by the graph: set by Finish, so that a wait that ended first adds nothing.
  Added Add(const void* thread, const void* awaited, const bool* over) {
    typename Sync::MutexLock lock(&mutex_);
    if (*over) return Added::kOver;
    for (const void* t = awaited; t != nullptr;) {
      if (t == thread) return Added::kCircle;
      const auto edge = awaits_.find(t);
      t = edge == awaits_.end() ? nullptr : edge->second;
    }
    awaits_[thread] = awaited;
    return Added::kWaits;
  }

  void Finish(const void* thread, bool* over) {
    typename Sync::MutexLock lock(&mutex_);
    *over = true;
    awaits_.erase(thread);
  }

 private:
  typename Sync::Mutex mutex_;
  absl::flat_hash_map<const void*, const void*> awaits_;
};

}  // namespace weakref::internal

#endif  // WEAKREF_CACHE_INTERNAL_WAIT_GRAPH_H_
