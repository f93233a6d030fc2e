#include "examples/resource_server/connection_set.h"

#include <utility>

namespace resource_server {

ConnectionSet::ConnectionSet(size_t capacity, std::function<void()> on_room)
    : capacity_(capacity), on_room_(std::move(on_room)) {}

void ConnectionSet::Add(const std::shared_ptr<Connection>& connection) {
  absl::MutexLock lock(&mutex_);
  connections_.emplace(connection.get(), connection);
}

void ConnectionSet::Remove(const Connection* connection) {
  bool was_full = false;
  std::function<void()> on_empty;
  {
    absl::MutexLock lock(&mutex_);
    if (connections_.erase(connection) == 0) return;
    was_full = connections_.size() + 1 == capacity_;
    if (connections_.empty()) on_empty = std::exchange(on_empty_, nullptr);
  }
  if (was_full) on_room_();
  if (on_empty) on_empty();
}

bool ConnectionSet::full() const {
  absl::MutexLock lock(&mutex_);
  return connections_.size() >= capacity_;
}

std::vector<std::shared_ptr<Connection>> ConnectionSet::Snapshot() const {
  // Declared before the lock: a reference taken here may turn out to be the last one, and the
  // connection's destructor takes the lock.
  std::vector<std::shared_ptr<Connection>> alive;
  absl::MutexLock lock(&mutex_);
  alive.reserve(connections_.size());
  for (const auto& [connection, weak] : connections_) {
    if (std::shared_ptr<Connection> strong = weak.lock()) alive.push_back(std::move(strong));
  }
  return alive;
}

void ConnectionSet::NotifyWhenEmpty(std::function<void()> on_empty) {
  {
    absl::MutexLock lock(&mutex_);
    if (!connections_.empty()) {
      on_empty_ = std::move(on_empty);
      return;
    }
  }
  on_empty();
}

}  // namespace resource_server
