// The core of a WeakValueCache: its shards, and every operation on them that is not about user
// types. The front (cache/weak_value_cache.h) adapts loaders and results; both fronts, blocking and
// asynchronous, come through here.
//
// The hit path: WeakValueCache::Find -> CacheCore::Find -> Table::Find -> ControlBlock::Promote.

#ifndef WEAKREF_CACHE_INTERNAL_CACHE_CORE_H_
#define WEAKREF_CACHE_INTERNAL_CACHE_CORE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "cache/internal/cache_stats.h"
#include "cache/internal/load_record.h"
#include "cache/internal/lookup_counters.h"
#include "weakref/internal/table/hash_mix.h"
#include "weakref/internal/table/linked_hook.h"
#include "weakref/internal/table/shard.h"

namespace weakref::internal {

// A shard and the cache's counters of it, which are written under its mutex.
template <class Sync>
class CacheShard final : public table::Shard<Sync> {
 public:
  using table::Shard<Sync>::Shard;

  class Counter {
   public:
    void AddLocked(int64_t by) {
      // relaxed: written under the mutex, read as a statistic.
      value_.store(value_.load(std::memory_order_relaxed) + static_cast<uint64_t>(by),
                   std::memory_order_relaxed);
    }
    uint64_t Read() const {
      return value_.load(std::memory_order_relaxed);  // relaxed: a statistic
    }

   private:
    typename Sync::template Atomic<uint64_t> value_{0};
  };

  Counter loads, failures, shared, left, superseded, invalidated, loading;
};

// A fixed number of shards side by side, so that the hit path finds one by arithmetic.
template <class Shard>
class ShardArray {
 public:
  // Throws: std::bad_alloc.
  explicit ShardArray(size_t capacity)
      : shards_(std::allocator<Shard>().allocate(capacity)), capacity_(capacity) {}
  ShardArray(const ShardArray&) = delete;
  ShardArray& operator=(const ShardArray&) = delete;
  ~ShardArray() {
    std::destroy_n(shards_, size_);
    std::allocator<Shard>().deallocate(shards_, capacity_);
  }

  template <class... Args>
  void emplace_back(Args&&... args) {
    ::new (static_cast<void*>(shards_ + size_)) Shard(std::forward<Args>(args)...);
    ++size_;
  }
  Shard& operator[](size_t i) { return shards_[i]; }
  Shard* begin() { return shards_; }
  Shard* end() { return shards_ + size_; }
  const Shard* begin() const { return shards_; }
  const Shard* end() const { return shards_ + size_; }
  size_t size() const { return size_; }

 private:
  Shard* const shards_;
  const size_t capacity_;
  size_t size_ = 0;
};

template <class Sync, class K, class V>
class CacheCore final : public table::CoreRefs<Sync> {
 public:
  using Block = BasicControlBlock<Sync>;
  using Entry = table::Entry<Sync, K, V>;
  using Shard = CacheShard<Sync>;
  using Record = LoadRecord<Sync>;
  using State = table::EntryState;
  using Position = typename Shard::Position;
  using MutexLock = typename Shard::MutexLock;

  // `shards` is a power of two. Throws: std::bad_alloc.
  explicit CacheCore(size_t shards) : hash_key_(table::ProcessHashKey()), shards_(shards) {
    for (size_t n = shards; n > 1; n /= 2) --shard_shift_;
    for (size_t i = 0; i < shards; ++i) shards_.emplace_back(this, i, kTraits);
    first_shard_ = shards_.begin();
  }

  // What the user's hash said, mixed.
  uint64_t Mix(uint64_t hash) const { return table::MixHash(hash, hash_key_); }
  static uint32_t Stored(uint64_t mixed) { return table::StoredHash(mixed); }
  Shard& ShardFor(uint64_t mixed) const {
    // Two shifts: by 64 in one would be undefined with a single shard.
    return first_shard_[(mixed >> 1) >> shard_shift_];
  }
  static Shard& ShardOf(const Block* entry) {
    return *static_cast<Shard*>(table::Shard<Sync>::Of(entry));
  }

  // ---- hits ----

  // The live, fresh object whose entry `equal` accepts, or nothing. Lock-free: wait-free but for
  // what `equal` does. `equal` runs under a guard and under no lock.
  template <class Equal>
  [[gnu::always_inline]] Found<Sync> Find(uint64_t mixed, const Equal& equal) {
    const Found<Sync> found = FindNear(mixed, equal);
    if (found.block != nullptr) [[likely]]
      return found;
    return FindFar(mixed, equal);
  }

  // ---- get or create ----

  enum class Begin { kHit, kJoined, kLeads, kRecursion, kClosed };

  // The atomic step of get-or-create. Finds (kHit, *hit owns a count); or lists `waiter` with the
  // load in flight (kJoined); or begins `record` as that load (kLeads), with `waiter` as its first
  // waiter if `record` is asynchronous. kRecursion: `thread`, which would block, runs that load.
  // `equal(entry)` compares, `make(memory, ops, hash)` constructs an Entry: user code, under no
  // lock. Throws: what those throw, std::bad_alloc; nothing has changed then.
  template <class Equal, class Make>
  Begin FindOrBegin(uint64_t mixed, Equal&& equal, Make&& make, Record* record,
                    Waiter<Sync>* waiter, const void* thread, Found<Sync>* hit) {
    enum class Verdict { kDone, kNeedEntry, kFull };
    Shard& shard = ShardFor(mixed);
    NewEntry fresh(&shard);
    Begin result = Begin::kClosed;
    for (;;) {
      const Verdict verdict = shard.Lookup(Stored(mixed), equal, [&](Block* found, Position where) {
        if (shard.closed()) return Verdict::kDone;
        const uintptr_t live = live_word_.load(std::memory_order_relaxed);  // relaxed: as FindNear
        if (found != nullptr) {
          const State state = table::ReadState(found);
          if (state.loading() && RecordOf(state)->generation == GenerationOf(live)) {
            result = Join(shard, RecordOf(state), waiter, thread);
            return Verdict::kDone;
          }
          *hit = Acquire(found, live);
          if (hit->block != nullptr) {
            result = Begin::kHit;
            return Verdict::kDone;
          }
        }
        if (fresh.get() == nullptr) return Verdict::kNeedEntry;
        record->entry = fresh.get();
        record->generation = GenerationOf(live);
        table::WriteState<Sync>(fresh.get(), State::Loading(record));
        if (!PutLocked(shard, fresh.get(), found, where)) return Verdict::kFull;
        fresh.release();
        record->in_table = true;
        if (record->leader() == nullptr) record->AddLocked(waiter);
        shard.loads.AddLocked(1);
        shard.loading.AddLocked(1);
        result = Begin::kLeads;
        return Verdict::kDone;
      });
      if (verdict == Verdict::kDone) break;
      if (verdict == Verdict::kFull) {
        shard.Maintain(/*must=*/true);
      } else {
        fresh.Make(make, Stored(mixed));
      }
    }
    if (result == Begin::kLeads) shard.Maintain();
    return result;
  }

  // Ends a load whose value has been constructed in its entry. The caller owns one strong count of
  // the entry and keeps it.
  void Publish(Record& record) noexcept {
    Block* entry = record.entry;
    Shard& shard = ShardOf(entry);
    Waiter<Sync>* waiters;
    {
      MutexLock lock(&shard.mutex());
      entry->AddStrong(record.waiters());
      table::WriteState(entry, State::Live(record.generation));
      waiters = EndLocked(shard, record);
    }
    Record::SucceedAll(waiters, {entry, Entry::From(entry)->value()});
  }

  // Ends a load with an object that exists elsewhere. The caller owns one strong count of `target`
  // and keeps it. Throws: std::bad_alloc; the load goes on then.
  void PublishLinked(Record& record, Block* target, void* object) {
    Block* entry = record.entry;
    Shard& shard = ShardOf(entry);
    Link(entry, target, object);
    Waiter<Sync>* waiters;
    {
      MutexLock lock(&shard.mutex());
      target->AddStrong(record.waiters());
      table::WriteState(
          entry, record.in_table ? State::Linked(record.generation) : State(Block::kSentinel));
      if (!record.in_table) CountIdleHook(target);
      waiters = EndLocked(shard, record);
    }
    Record::SucceedAll(waiters, {target, object});
  }

  // Ends a load without an object: all who joined get `failure`, the next request tries again.
  void Fail(Record& record, const LoadFailure& failure) noexcept {
    Block* entry = record.entry;
    Shard& shard = ShardOf(entry);
    Waiter<Sync>* waiters;
    {
      MutexLock lock(&shard.mutex());
      if (record.in_table) shard.UnlinkLocked(entry);
      record.in_table = false;
      shard.failures.AddLocked(1);
      waiters = EndLocked(shard, record);
    }
    Record::FailAll(waiters, failure);
    entry->CloseUnpublished();
    shard.RetireEntry(entry);
  }

  // Takes `waiter` out of the load it waits for. False: its result is on its way, or was given.
  // When it was the last waiter of an asynchronous load, the load leaves the table in the same
  // step, and is asked to stop.
  bool Leave(Shard& shard, Waiter<Sync>* waiter) {
    std::optional<std::stop_source> stop;
    {
      MutexLock lock(&shard.mutex());
      Record* record = Record::RemoveLocked(waiter);
      if (record == nullptr) return false;
      shard.left.AddLocked(1);
      if (record->waiters() == 0 && record->leader() == nullptr) {
        if (record->in_table) shard.UnlinkLocked(record->entry);
        record->in_table = false;
        stop = record->stop_source();
      }
    }
    if (stop) stop->request_stop();  // user code: stop callbacks
    return true;
  }

  // ---- the rest ----

  // Puts a new live entry, whose value `make` constructs, in the place of whatever is there.
  // Returns it with one strong count. Throws: what `equal` and `make` throw; nothing changed then.
  template <class Equal, class Make>
  Found<Sync> Insert(uint64_t mixed, Equal&& equal, Make&& make) {
    Shard& shard = ShardFor(mixed);
    NewEntry fresh(&shard);
    fresh.Make(make, Stored(mixed));
    Block* entry = fresh.get();
    const Found<Sync> inserted{entry, Entry::From(entry)->value()};
    try {
      PutNew(shard, mixed, equal, entry, &State::Live);
    } catch (...) {
      Dispose(entry);
      throw;
    }
    fresh.release();
    shard.Maintain();
    return inserted;
  }

  // As Insert, for an object that exists elsewhere; `make` constructs an entry without value. The
  // caller owns a strong count of `target` and keeps it.
  template <class Equal, class Make>
  void InsertLinked(uint64_t mixed, Equal&& equal, Make&& make, Block* target, void* object) {
    Shard& shard = ShardFor(mixed);
    NewEntry fresh(&shard);
    fresh.Make(make, Stored(mixed));
    Block* entry = fresh.get();
    table::WriteState(entry, State::Linked(0));  // not dead: the hook is not to be swept
    Link(entry, target, object);
    fresh.release();  // the hook's from here on
    try {
      PutNew(shard, mixed, equal, entry, &State::Linked);
    } catch (...) {
      table::WriteState(entry, State(Block::kSentinel));  // the hook has nothing left to do
      CountIdleHook(target);
      throw;
    }
    shard.Maintain();
  }

  // Takes the key's entry out. A load in flight goes on for those who joined. Returns whether there
  // was an object that Find would have found, or a load.
  template <class Equal>
  bool Invalidate(uint64_t mixed, Equal&& equal) {
    Shard& shard = ShardFor(mixed);
    return shard.Lookup(Stored(mixed), equal, [&](Block* found, Position) {
      if (found == nullptr) return false;
      const bool visible = IsVisible(found);
      FenceLocked(found);
      shard.UnlinkLocked(found);
      if (visible) shard.invalidated.AddLocked(1);
      return visible;
    });
  }

  // Makes everything stale: one step. Loads in flight go on for those who joined.
  void InvalidateAll() {
    // relaxed: whoever knows of the call by other means sees it.
    live_word_.fetch_add(uintptr_t{1} << State::kGenerationShift, std::memory_order_relaxed);
  }

  // Ends the cache: waiters get `failure`, entries live on without a table.
  void Close(const LoadFailure& failure) {
    std::vector<Waiter<Sync>*> waiters;
    std::vector<std::stop_source> stops;
    for (Shard& shard : shards_) {
      shard.Close([&](Block* entry) {
        const State state = table::ReadState(entry);
        if (!state.loading()) return;
        Record* record = RecordOf(state);
        record->in_table = false;
        if (auto stop = record->stop_source()) stops.push_back(*std::move(stop));
        waiters.push_back(record->TakeAllLocked());
      });
    }
    for (Waiter<Sync>* chain : waiters) Record::FailAll(chain, failure);
    for (std::stop_source& stop : stops) stop.request_stop();
  }

  // Promotes what is visible in shard `index` now; calls visit(entry, found), which takes over
  // found's count, under the shard's mutex, until it returns false. `visit` must not be user code.
  template <class Visit>
  void VisitShardLocked(size_t index, Visit&& visit) {
    Shard& shard = shards_[index];
    MutexLock lock(&shard.mutex());
    const uintptr_t live = live_word_.load(std::memory_order_relaxed);  // relaxed: as FindNear
    shard.table_locked().VisitAllLocked([&](Block* entry) {
      const Found<Sync> found = Acquire(entry, live);
      return found.block == nullptr || visit(entry, found);
    });
  }
  size_t ApproxShardEntries(size_t index) {
    MutexLock lock(&shards_[index].mutex());
    return shards_[index].table_locked().count();
  }

  size_t shard_count() const { return shards_.size(); }
  Shard& shard(size_t index) { return shards_[index]; }

  size_t ApproxLive() const {
    // relaxed: a statistic.
    const uintptr_t generation = GenerationOf(live_word_.load(std::memory_order_relaxed));
    size_t live = 0;
    for (const Shard& shard : shards_) live += shard.ApproxLive(generation);
    return live;
  }

  CacheStats Stats() const {
    CacheStats stats;
    counters_.Read(&stats.hits, &stats.misses);
    for (const Shard& shard : shards_) {
      stats.loads += shard.loads.Read();
      stats.load_failures += shard.failures.Read();
      stats.loads_shared += shard.shared.Read();
      stats.waits_left += shard.left.Read();
      stats.superseded += shard.superseded.Read();
      stats.invalidated += shard.invalidated.Read();
      stats.loading += shard.loading.Read();
      stats.deaths += shard.deaths();
    }
    stats.live = ApproxLive();
    stats.shards = shards_.size();
    return stats;
  }

 private:
  ~CacheCore() override = default;

  // An entry that is not in the table yet; freed unless released.
  class NewEntry {
   public:
    explicit NewEntry(Shard* shard) : shard_(shard) {}
    NewEntry(const NewEntry&) = delete;
    NewEntry& operator=(const NewEntry&) = delete;
    ~NewEntry() {
      if (entry_ != nullptr) Deallocate(entry_);
    }
    template <class Make_>
    void Make(Make_&& make, uint32_t hash) {
      void* memory = shard_->Allocate();
      try {
        entry_ = make(memory, shard_->ops(), hash);
      } catch (...) {
        shard_->Free(memory);
        throw;
      }
    }
    Entry* get() const { return entry_; }
    void release() { entry_ = nullptr; }

   private:
    Shard* const shard_;
    Entry* entry_ = nullptr;
  };

  // Straight through, nearly always: two cache lines, one read-modify-write, no call. Nothing found
  // says nothing.
  template <class Equal>
  [[gnu::always_inline]] Found<Sync> FindNear(uint64_t mixed, const Equal& equal) {
    const epoch::QuickGuard<Sync> guard;
    if (!guard.entered()) [[unlikely]]
      return {};
    // relaxed: a fresher generation needs to be seen only by those who know of it otherwise.
    const uintptr_t live = live_word_.load(std::memory_order_relaxed);
    Block* entry = ShardFor(mixed).table().FindNear(Stored(mixed), equal);
    if (entry == nullptr || table::ReadState(entry).word() != live) [[unlikely]]
      return {};
    if (!entry->Promote()) [[unlikely]]
      return {};
    counters_.Count(guard.slot(), /*hit=*/true);
    return {entry, Entry::From(entry)->value()};
  }

  // All of it.
  template <class Equal>
  [[gnu::noinline]] Found<Sync> FindFar(uint64_t mixed, Equal equal) {
    const epoch::Guard<Sync> guard;
    const uintptr_t live = live_word_.load(std::memory_order_relaxed);  // relaxed: as FindNear
    Block* entry = ShardFor(mixed).table().Find(Stored(mixed), equal);
    Found<Sync> found;
    if (entry != nullptr) found = Acquire(entry, live);
    counters_.Count(guard.slot(), found.block != nullptr);
    return found;
  }

  static Record* RecordOf(State state) { return static_cast<Record*>(state.record()); }
  static uintptr_t GenerationOf(uintptr_t live_word) {
    return live_word >> State::kGenerationShift;
  }

  // A strong count on the entry's object if it is visible. Under a guard, or the shard's mutex.
  static Found<Sync> Acquire(Block* entry, uintptr_t live) {
    constexpr uintptr_t kLinkedLessLive =
        static_cast<uintptr_t>(table::Phase::kLinked) - static_cast<uintptr_t>(table::Phase::kLive);
    const uintptr_t state = table::ReadState(entry).word();
    if (state == live) {
      if (entry->Promote()) return {entry, Entry::From(entry)->value()};
    } else if (state == live + kLinkedLessLive) {
      const auto& link = Entry::From(entry)->target();
      if (link.target->Promote()) return {link.target, link.object};
    }
    return {};
  }

  // Whether Find would find it, or it is a load that GetOrCreate would join.
  bool IsVisible(Block* entry) const {
    const uintptr_t live = live_word_.load(std::memory_order_relaxed);  // relaxed: as FindNear
    const State state = table::ReadState(entry);
    if (state.loading()) return RecordOf(state)->generation == GenerationOf(live);
    if (state.generation() != GenerationOf(live)) return false;
    if (state.live()) return !entry->IsClosed();
    return state.linked() && !Entry::From(entry)->target().target->IsClosed();
  }

  Begin Join(Shard& shard, Record* record, Waiter<Sync>* waiter, const void* thread) {
    if (thread != nullptr &&
        (record->leader() == thread || StartFrame::Find<Sync>(record->id()) != nullptr)) {
      return Begin::kRecursion;
    }
    record->AddLocked(waiter);
    shard.shared.AddLocked(1);
    return Begin::kJoined;
  }

  // If `entry` is a load, nobody joins it from here on.
  static void FenceLocked(Block* entry) {
    const State state = table::ReadState(entry);
    if (state.loading()) RecordOf(state)->in_table = false;
  }

  // Puts `entry` where `old` is, or, if null, somewhere. False if the table is full.
  bool PutLocked(Shard& shard, Block* entry, Block* old, Position where) {
    if (old == nullptr) return shard.table_locked().InsertLocked(entry);
    FenceLocked(old);
    shard.ReplaceLocked(where, old, entry);
    return true;
  }

  template <class Equal>
  void PutNew(Shard& shard, uint64_t mixed, Equal&& equal, Block* entry,
              State (*state_of)(uintptr_t generation)) {
    for (;;) {
      const bool put = shard.Lookup(Stored(mixed), equal, [&](Block* found, Position where) {
        const uintptr_t live = live_word_.load(std::memory_order_relaxed);  // relaxed: as FindNear
        const uintptr_t generation = GenerationOf(live);
        table::WriteState(entry, state_of(generation));
        if (shard.closed()) return true;
        const bool supersedes = found != nullptr && IsVisible(found);
        if (!PutLocked(shard, entry, found, where)) return false;
        shard.CountLiveLocked(generation);
        if (supersedes) shard.superseded.AddLocked(1);
        return true;
      });
      if (put) return;
      shard.Maintain(/*must=*/true);
    }
  }

  // Makes `entry` a link to `target`: its own block closes, the hook takes over its two tokens.
  static void Link(Block* entry, Block* target, void* object) {
    auto hook = std::make_unique<table::LinkedHook<Sync>>(entry);
    ::new (Entry::From(entry)->value_storage()) table::LinkTarget<Sync>{target, object};
    target->AddWeak();
    try {
      hook->Register(target);
    } catch (...) {
      target->DropWeak();
      throw;
    }
    (void)hook.release();
    entry->CloseUnpublished(Block::kIsLinked);
  }

  // So that `target` sweeps it. The caller owns a strong count.
  static void CountIdleHook(Block* target) {
    if (target->ops()->add_death_node == nullptr) DeathList<Sync>::CountCancelled(target);
  }

  Waiter<Sync>* EndLocked(Shard& shard, Record& record) {
    shard.loading.AddLocked(-1);
    // relaxed: as FindNear.
    const uintptr_t generation = GenerationOf(live_word_.load(std::memory_order_relaxed));
    if (record.in_table && record.generation == generation) shard.CountLiveLocked(generation);
    return record.TakeAllLocked();
  }

  static void Dispose(Block* block) noexcept { Entry::From(block)->value()->~V(); }
  static void Deallocate(Block* block) noexcept {
    Entry* entry = Entry::From(block);
    Shard& shard = ShardOf(block);
    if (entry->IsLinked()) entry->target().target->DropWeak();
    entry->~Entry();
    shard.Free(entry);  // may be the end of the core
  }
  static constexpr table::EntryTraits<Sync> kTraits = {
      sizeof(Entry), alignof(Entry), &Dispose, &Deallocate,
      [](Block* entry) { return &Entry::From(entry)->target(); }};

  // Readers' line.
  Shard* first_shard_ = nullptr;
  int shard_shift_ = 63;
  const table::HashKey hash_key_;
  // The state word of a live, fresh entry; its generation is InvalidateAll's.
  typename Sync::template Atomic<uintptr_t> live_word_{State::Live(0).word()};

  alignas(64) LookupCounters<Sync> counters_;
  ShardArray<Shard> shards_;
};

}  // namespace weakref::internal

#endif  // WEAKREF_CACHE_INTERNAL_CACHE_CORE_H_
