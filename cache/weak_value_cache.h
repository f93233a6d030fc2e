// WeakValueCache<K, V>: one current object per key, shared by all who ask, for as long as anybody
// uses it.
//
// For servers that hold decoded files, compiled schemas, sessions, connections: instead of a mutex,
// a map and weak_ptrs. Not for values that should stay although nobody uses them (this cache is
// purely weak: the last StrongRef ends the object), nor for values that change under their key.
//
//   WeakValueCache<std::string, Image> images;
//   StrongRef<Image> cat = images.GetOrCreate(
//       "cat.png", [](const std::string& path) { return DecodeImage(path); });
//   // Everybody who asks for "cat.png" now gets this very object, without a lock.
//   // When the last reference goes, the image dies and its entry leaves the cache.
//
// Ownership: the cache owns no value. References may outlive the cache.
// Thread safety: everything but the destructor may be called from any thread at any time, also from
// loaders, destructors of values and callbacks. The destructor never waits, and is legal anywhere,
// inside a loader of this very cache too; it must not race with new calls.
// User code (loader, constructor, destructor, callback, hash, equality) never runs under a lock of
// the library. Hash and equality run while nothing found can be reclaimed: they must not block.
// Memory ordering: what a loader did happens before the return of every call that gets its object;
// what users wrote to an object before they dropped it happens before its destructor.
// Progress: a hit is lock-free and takes no mutex, also while other threads hold all of them. A
// miss, Insert, Invalidate and an object's last release take one shard's mutex for a bounded time.
// Cost of a hit and its drop: two read-modify-writes, two cache lines.
//
// What each operation does, by what there is for the key at its atomic moment. LOADING: a load in
// flight that was not fenced. LIVE: an object with users. stale: put aside by InvalidateAll.
// CLOSED: dying, its last user has gone. "replaces": takes the slot; the late death unlinks
// nothing.
//
//               | absent     | LOADING        | LIVE          | stale      | CLOSED     | cache
//               ended
//   Find        | null       | null           | the object    | null       | null       | -
//   GetOrCreate | loads      | joins          | the object    | replaces,  | replaces,  |
//   kCancelled
//               |            |                |               | loads      | loads      |
//   Insert      | inserts    | replaces and   | replaces      | replaces   | replaces   | -
//               |            | fences         | (superseded)  |            |            |
//   Invalidate  | false      | true, fences   | true, unlinks | false      | false      | -
//   load ends   | -          | becomes LIVE   | -             | -          | -          | object
//   goes to
//    fenced     | object goes to those who joined, nobody else finds it              | its leader
//   load fails  | -          | becomes absent | -             | -          | -          | failure
//   to
//               |            | failure to all who joined                               | its leader
//   last release| -          | -              | CLOSED, then  | same       | -          | dies
//               |            |                | absent        |            |            |
//   ~Cache      | -          | waiters get kCancelled; the load goes on for its leader; objects
//   live on

#ifndef WEAKREF_CACHE_WEAK_VALUE_CACHE_H_
#define WEAKREF_CACHE_WEAK_VALUE_CACHE_H_

#include <cstddef>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/cache_error.h"
#include "cache/cache_hash.h"
#include "cache/cache_options.h"
#include "cache/cache_stats.h"
#include "cache/internal/async_load.h"
#include "cache/internal/blocking_wait.h"
#include "cache/internal/cache_core.h"
#include "cache/internal/loader_traits.h"
#include "cache/load_context.h"
#include "weakref/strong_ref.h"

namespace weakref {

template <class K, class V, class Hash = CacheHash<K>, class Eq = CacheEq<K>>
class WeakValueCache {
 public:
  using key_type = K;
  using mapped_type = V;

  // Throws: CacheError (kInvalidArgument) for options that make no sense; std::bad_alloc.
  explicit WeakValueCache(CacheOptions options = {}, Hash hash = Hash(), Eq equal = Eq())
      : options_(Checked(std::move(options))),
        hash_(std::move(hash)),
        equal_(std::move(equal)),
        core_(new Core(options_.shards)) {}
  WeakValueCache(const WeakValueCache&) = delete;
  WeakValueCache& operator=(const WeakValueCache&) = delete;

  // Waiters get kCancelled at once; loads in flight go on, for those who run them only; objects in
  // use live on. Never waits.
  ~WeakValueCache() {
    core_->Close(internal::ClosedFailure());
    core_->Drop();
  }

  // Returns: the key's current object, or null. Q: K, or what Hash and Eq take if transparent.
  // Throws: what hash and equality throw. Concurrency: lock-free, no mutex.
  template <class Q = K>
  StrongRef<V> Find(const Q& key) {
    const uint64_t mixed = core_->Mix(hash_(key));
    return Adopt(core_->Find(mixed, Equal(key, mixed)));
  }

  // Returns the key's current object; without one, runs loader(key) or loader(key, LoadContext&),
  // once however many ask, while the others wait for that same object. The loader may use this
  // cache and others freely; asking for the very key that it loads is an error.
  //   loader returns                     GetOrCreate returns
  //     V                                StrongRef<V>; one allocation for everything
  //     StrongRef<V>                     StrongRef<V>, that very object
  //     absl::StatusOr of either         absl::StatusOr<StrongRef<V>>; throws nothing of its own
  // The key is copied into the cache if a load begins: K is constructed from `key`.
  // Throws (first two forms): what the loader threw, the same exception to all who joined; or
  // CacheError: kDeadlineExceeded, kCancelled, kFailedPrecondition (recursion, cycle of loads).
  // A failed load leaves nothing behind; the next call tries again.
  // Concurrency: a hit is lock-free. Otherwise blocks on the load.
  template <class Q, class Loader>
  typename internal::LoaderTraits<Loader, K, V>::Result GetOrCreate(const Q& key, Loader&& loader) {
    using Traits = internal::LoaderTraits<Loader, K, V>;
    const uint64_t mixed = core_->Mix(hash_(key));
    const internal::Found<Sync> hit = core_->Find(mixed, Equal(key, mixed));
    if (hit.block != nullptr) [[likely]]
      return Adopt(hit);
    return Miss<Traits>(key, mixed, loader, nullptr);
  }
  // As above, with an end to the wait for another caller's load.
  template <class Q, class Loader>
  typename internal::LoaderTraits<Loader, K, V>::Result GetOrCreate(const Q& key, Loader&& loader,
                                                                    const WaitOptions& wait) {
    using Traits = internal::LoaderTraits<Loader, K, V>;
    const uint64_t mixed = core_->Mix(hash_(key));
    const internal::Found<Sync> hit = core_->Find(mixed, Equal(key, mixed));
    if (hit.block != nullptr) [[likely]]
      return Adopt(hit);
    return Miss<Traits>(key, mixed, loader, &wait);
  }

  // The asynchronous form, without blocking anywhere. done(absl::StatusOr<StrongRef<V>>) is called
  // exactly once: here for a hit, otherwise by the thread that ends the load.
  // If a load has to begin, start(const K&, LoadContext&, LoadCompletion<V>) is called here, under
  // no lock; it begins the load and sees that the completion is called, once, from any thread. Key
  // and context live until then. A completion that is destroyed uncompleted, and an exception out
  // of `start`, fail the load. When wait.stop has stopped the last request for it, the load is
  // cancelled: it leaves the cache, its context's token stops, and the next request begins anew.
  // wait.deadline is not used. Throws: std::bad_alloc, and what hash, equality and K's constructor
  // throw; done is not called then. What `done` throws goes to the handler of expiry_callback.h.
  template <class Q, class Start, class Done>
  void StartGetOrCreate(const Q& key, Start&& start, Done&& done, const WaitOptions& wait = {}) {
    const uint64_t mixed = core_->Mix(hash_(key));
    if (StrongRef<V> hit = Adopt(core_->Find(mixed, Equal(key, mixed)))) [[likely]] {
      std::forward<Done>(done)(absl::StatusOr<StrongRef<V>>(std::move(hit)));
      return;
    }
    StartMiss(key, mixed, start, std::forward<Done>(done), wait);
  }

  // Makes `value` the key's current object, and returns it. A live predecessor stays valid for its
  // users; a load in flight goes on for those who joined, and is not published.
  // Throws: what constructing K and V throws, std::bad_alloc; nothing has changed then.
  template <class Q>
  StrongRef<V> Insert(const Q& key, V value) {
    const uint64_t mixed = core_->Mix(hash_(key));
    return Adopt(
        core_->Insert(mixed, Equal(key, mixed), [&](void* memory, const Ops* ops, uint32_t hash) {
          auto* entry = ::new (memory) Entry(ops, hash, key);
          try {
            ::new (entry->value_storage()) V(std::move(value));
          } catch (...) {
            entry->~Entry();
            throw;
          }
          return entry;
        }));
  }
  // As above, for an object that exists: `value` itself becomes current, as long as it lives.
  // Throws: CacheError (kInvalidArgument) if `value` is null.
  template <class Q>
  StrongRef<V> Insert(const Q& key, StrongRef<V> value) {
    if (internal::RefAccess::Block(value) == nullptr || value == nullptr) {
      throw CacheError(absl::InvalidArgumentError("Insert of a null reference"));
    }
    const uint64_t mixed = core_->Mix(hash_(key));
    core_->InsertLinked(mixed, Equal(key, mixed), MakeEntry(key), internal::RefAccess::Block(value),
                        Erase(value.get()));
    return value;
  }

  // Takes the key's object out; its users keep it. A load in flight is fenced: it goes on for those
  // who joined, nobody else gets its object. Returns whether there was either.
  template <class Q>
  bool Invalidate(const Q& key) {
    const uint64_t mixed = core_->Mix(hash_(key));
    return core_->Invalidate(mixed, Equal(key, mixed));
  }

  // Invalidates everything. O(1), wait-free.
  void InvalidateAll() { core_->InvalidateAll(); }

  // Calls fn(const K&, const StrongRef<V>&) for every object that was current at one moment of this
  // call, shard by shard; what is inserted meanwhile may be missed. No lock is held in `fn`.
  template <class Fn>
  void ForEach(Fn&& fn);

  // Objects that Find would find; stale at once. O(shards).
  size_t size() const { return core_->ApproxLive(); }
  bool empty() const { return size() == 0; }

  CacheStats Stats() const { return core_->Stats(); }
  const CacheOptions& options() const { return options_; }

  // Gives back what waits for reclamation, as far as no reader is in the way, and memory of arrays
  // that have become too large. Runs destructors of keys of dead entries.
  void Drain() {
    for (size_t i = 0; i < core_->shard_count(); ++i) core_->shard(i).Maintain();
    internal::epoch::global_domain<Sync>.TryReclaim();
  }

 private:
  friend class WeakValueCacheTestPeer;

  using Sync = internal::RealSync;
  using Core = internal::CacheCore<Sync, K, V>;
  using Entry = typename Core::Entry;
  using Block = internal::ControlBlock;
  using Ops = internal::BlockOps<Sync>;
  using Begin = typename Core::Begin;

  static CacheOptions Checked(CacheOptions options) {
    if (absl::Status status = options.Validate(); !status.ok()) throw CacheError(std::move(status));
    if (options.shards == 0) options.shards = CacheOptions::DefaultShards();
    return options;
  }

  static void* Erase(V* object) { return const_cast<std::remove_cv_t<V>*>(object); }
  static StrongRef<V> Adopt(const internal::Found<Sync>& found) {
    return internal::RefAccess::AdoptStrong(static_cast<V*>(found.object), found.block);
  }

  // Accepts the entry of `key`.
  template <class Q>
  auto Equal(const Q& key, uint64_t mixed) const {
    return [this, &key, stored = Core::Stored(mixed)](const Block* block) {
      const Entry* entry = Entry::From(block);
      if constexpr (!std::is_scalar_v<K>) {
        if (entry->hash() != stored) return false;
      }
      return static_cast<bool>(equal_(entry->key(), key));
    };
  }
  template <class Q>
  static auto MakeEntry(const Q& key) {
    return [&key](void* memory, const Ops* ops, uint32_t hash) {
      return ::new (memory) Entry(ops, hash, key);
    };
  }

  struct BlockingRecord final : internal::LoadRecord<Sync> {
    BlockingRecord() : internal::LoadRecord<Sync>(Sync::ThreadId()) {}
  };

  template <class Traits, class Q, class Loader>
  [[gnu::noinline]] typename Traits::Result Miss(const Q& key, uint64_t mixed, Loader& loader,
                                                 const WaitOptions* wait);
  template <class Traits, class Loader>
  static typename Traits::Result Lead(Core* core, BlockingRecord& record, Loader& loader);
  template <class Traits>
  static typename Traits::Result Failed(const internal::LoadFailure& failure);

  template <class Q, class Start, class Done>
  [[gnu::noinline]] void StartMiss(const Q& key, uint64_t mixed, Start& start, Done&& done,
                                   const WaitOptions& wait);

  const CacheOptions options_;
  [[no_unique_address]] const Hash hash_;
  [[no_unique_address]] const Eq equal_;
  Core* const core_;
};

}  // namespace weakref

#include "cache/internal/weak_value_cache_impl.h"

#endif  // WEAKREF_CACHE_WEAK_VALUE_CACHE_H_
