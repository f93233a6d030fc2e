#ifndef EXAMPLES_RESOURCE_SERVER_CONNECTION_SET_H_
#define EXAMPLES_RESOURCE_SERVER_CONNECTION_SET_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace resource_server {

class Connection;

// The open connections. Owns none of them: a connection lives as long as one of its operations is
// pending, and takes itself out when it dies.
//
// Thread safety: all functions may run concurrently. The callbacks run without the lock, on the
// thread whose call caused them.
class ConnectionSet {
 public:
  explicit ConnectionSet(size_t capacity) : capacity_(capacity) {}

  void Add(const std::shared_ptr<Connection>& connection);
  void Remove(const Connection* connection);

  // The connections of this moment that are not dying already.
  std::vector<std::shared_ptr<Connection>> Snapshot() const;

  // Runs `on_room` once, as soon as there are less than `capacity` connections; at once if there
  // are.
  void NotifyWhenRoom(std::function<void()> on_room);

  // Runs `on_empty` once, as soon as the set is empty; at once if it is.
  void NotifyWhenEmpty(std::function<void()> on_empty);

  // Forgets callbacks that have not run: who would hear them is about to go.
  void DropCallbacks();

 private:
  const size_t capacity_;
  mutable absl::Mutex mutex_;
  std::unordered_map<const Connection*, std::weak_ptr<Connection>> connections_
      ABSL_GUARDED_BY(mutex_);
  std::function<void()> on_room_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> on_empty_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_CONNECTION_SET_H_
