#include "examples/resource_server/connection_set.h"

#include <utility>

namespace resource_server {

void ConnectionSet::Add(const std::shared_ptr<Connection>& connection) {
  absl::MutexLock lock(&mutex_);
  connections_.emplace(connection.get(), connection);
}

void ConnectionSet::Remove(const Connection* connection) {
  std::function<void()> on_room;
  std::function<void()> on_empty;
  {
    absl::MutexLock lock(&mutex_);
    connections_.erase(connection);
    if (connections_.size() < capacity_) on_room = std::exchange(on_room_, nullptr);
    if (connections_.empty()) on_empty = std::exchange(on_empty_, nullptr);
  }
  if (on_room) on_room();
  if (on_empty) on_empty();
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

void ConnectionSet::NotifyWhenRoom(std::function<void()> on_room) {
  {
    absl::MutexLock lock(&mutex_);
    if (connections_.size() >= capacity_) {
      on_room_ = std::move(on_room);
      return;
    }
  }
  on_room();
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

void ConnectionSet::DropCallbacks() {
  absl::MutexLock lock(&mutex_);
  on_room_ = nullptr;
  on_empty_ = nullptr;
}

}  // namespace resource_server
