// What the cache is measured against, behind one interface:
//
//   Handle Get(uint64_t key)   the key's object, created if there is none; Handle keeps it alive
//   kName                      as it stands in results
//
// All hold 24-byte values behind 8-byte keys and forget an object when its last handle goes.

#ifndef WEAKREF_BENCH_CONTESTANTS_H_
#define WEAKREF_BENCH_CONTESTANTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/synchronization/mutex.h"
#include "cache/weak_value_cache.h"

namespace weakref::bench {

struct Value {
  explicit Value(uint64_t key) : words{key, key + 1, key + 2} {}
  uint64_t words[3];
};

class Ours {
 public:
  static constexpr char kName[] = "WeakValueCache";
  using Handle = StrongRef<Value>;

  explicit Ours(size_t /*keys*/) {}
  Handle Get(uint64_t key) {
    return cache_.GetOrCreate(key, [](const uint64_t& k) { return Value(k); });
  }

 private:
  WeakValueCache<uint64_t, Value> cache_;
};

// What everybody writes first. An object's entry is purged by its deleter, by identity: the map
// must not grow for ever, and a late death must not take a successor out.
class MutexMap {
 public:
  static constexpr char kName[] = "MutexUnorderedMap";
  using Handle = std::shared_ptr<Value>;

  explicit MutexMap(size_t /*keys*/) {}
  Handle Get(uint64_t key) {
    Handle made;
    std::lock_guard<std::mutex> lock(mutex_);
    std::weak_ptr<Value>& slot = map_[key];
    if (Handle held = slot.lock()) return held;
    made = Handle(new Value(key), [this, key](Value* value) {
      {
        std::lock_guard<std::mutex> purge(mutex_);
        auto it = map_.find(key);
        if (it != map_.end() && it->second.expired()) map_.erase(it);
      }
      delete value;
    });
    slot = made;
    return made;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<uint64_t, std::weak_ptr<Value>> map_;
};

// The same, done well: 64 shards, a flat map each.
class ShardedFlatMap {
 public:
  static constexpr char kName[] = "Sharded64FlatMap";
  using Handle = std::shared_ptr<Value>;

  explicit ShardedFlatMap(size_t /*keys*/) : shards_(64) {}
  Handle Get(uint64_t key) {
    const size_t hash = absl::Hash<uint64_t>()(key);
    Shard& shard = shards_[hash >> 58];
    absl::MutexLock lock(&shard.mutex);
    std::weak_ptr<Value>& slot = shard.map[key];
    if (Handle held = slot.lock()) return held;
    Handle made(new Value(key), [&shard, key](Value* value) {
      {
        absl::MutexLock purge(&shard.mutex);
        auto it = shard.map.find(key);
        if (it != shard.map.end() && it->second.expired()) shard.map.erase(it);
      }
      delete value;
    });
    slot = made;
    return made;
  }

 private:
  struct alignas(64) Shard {
    absl::Mutex mutex;
    absl::flat_hash_map<uint64_t, std::weak_ptr<Value>> map;
  };
  std::vector<Shard> shards_;
};

// What no counted cache can go below: no lookup, just an array of pointers to lines, and a count up
// and down with each visit.
class Floor {
 public:
  static constexpr char kName[] = "Floor";
  struct alignas(64) Node {
    std::atomic<uint64_t> count{0};
    uint64_t words[3] = {};
  };
  class Handle {
   public:
    explicit Handle(Node* node) : node_(node) {
      node_->count.fetch_add(1, std::memory_order_relaxed);
    }
    Handle(Handle&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
    Handle& operator=(Handle&&) = delete;
    ~Handle() {
      if (node_ != nullptr) node_->count.fetch_sub(1, std::memory_order_release);
    }
    Node* operator->() const { return node_; }

   private:
    Node* node_;
  };

  explicit Floor(size_t keys) {
    for (size_t i = 0; i < keys; ++i) nodes_.push_back(std::make_unique<Node>());
  }
  Handle Get(uint64_t key) { return Handle(nodes_[key].get()); }

 private:
  std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace weakref::bench

#endif  // WEAKREF_BENCH_CONTESTANTS_H_
