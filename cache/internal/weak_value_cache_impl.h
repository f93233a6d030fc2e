// The miss paths of WeakValueCache. Included by cache/weak_value_cache.h.

#ifndef WEAKREF_CACHE_INTERNAL_WEAK_VALUE_CACHE_IMPL_H_
#define WEAKREF_CACHE_INTERNAL_WEAK_VALUE_CACHE_IMPL_H_

#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "cache/weak_value_cache.h"

namespace weakref {

template <class K, class V, class Hash, class Eq>
template <class Traits>
typename Traits::Result WeakValueCache<K, V, Hash, Eq>::Failed(
    const internal::LoadFailure& failure) {
  if constexpr (Traits::kStatus) {
    return internal::StatusOf(failure);
  } else {
    if (failure.exception != nullptr) std::rethrow_exception(failure.exception);
    throw CacheError(failure.status);
  }
}

template <class K, class V, class Hash, class Eq>
template <class Traits, class Q, class Loader>
typename Traits::Result WeakValueCache<K, V, Hash, Eq>::Miss(const Q& key, uint64_t mixed,
                                                             Loader& loader,
                                                             const WaitOptions* wait) {
  // The cache may end as soon as this waits or loads: `this` is not touched after FindOrBegin.
  Core* const core = core_;
  const typename Core::Share share(core);
  BlockingRecord record;
  internal::BlockingWaiter<Sync> waiter;
  internal::Found<Sync> hit;
  switch (core->FindOrBegin(mixed, Equal(key, mixed), MakeEntry(key), &record, &waiter,
                            Sync::ThreadId(), &hit)) {
    case Begin::kHit:
      return Adopt(hit);
    case Begin::kLeads:
      return Lead<Traits>(core, record, loader);
    case Begin::kRecursion:
      return Failed<Traits>(internal::RecursionFailure());
    case Begin::kClosed:
      return Failed<Traits>(internal::ClosedFailure());
    case Begin::kJoined:
      break;
  }
  auto& shard = core->ShardFor(mixed);
  waiter.Wait(wait == nullptr ? WaitOptions() : *wait,
              [core, &shard, &waiter] { return core->Leave(shard, &waiter); });
  if (waiter.found().block == nullptr) return Failed<Traits>(waiter.failure());
  return Adopt(waiter.found());
}

template <class K, class V, class Hash, class Eq>
template <class Traits, class Loader>
typename Traits::Result WeakValueCache<K, V, Hash, Eq>::Lead(Core* core, BlockingRecord& record,
                                                             Loader& loader) {
  Entry* const entry = Entry::From(record.entry);
  LoadContext context{record.stop_token()};
  const typename internal::RunningLoads<Sync>::Scope running;
  internal::LoadFailure failure;
  try {
    if constexpr (Traits::kLinked) {
      auto product = internal::CallLoader(loader, entry->key(), context);
      StrongRef<V> object;
      if constexpr (Traits::kStatus) {
        if (product.ok()) object = *std::move(product);
        failure.status = product.status();
      } else {
        object = std::move(product);
      }
      if (failure.status.ok() &&
          (object == nullptr || internal::RefAccess::Block(object) == nullptr)) {
        failure.status = absl::InvalidArgumentError("the loader returned a null reference");
      }
      if (failure.status.ok()) {
        core->PublishLinked(record, internal::RefAccess::Block(object), Erase(object.get()));
        return object;
      }
    } else if constexpr (Traits::kStatus) {
      auto product = internal::CallLoader(loader, entry->key(), context);
      if (product.ok()) ::new (entry->value_storage()) V(*std::move(product));
      failure.status = product.status();
    } else {
      // Constructed in its place: V need not even be movable.
      ::new (entry->value_storage()) V(internal::CallLoader(loader, entry->key(), context));
    }
  } catch (...) {
    failure.exception = std::current_exception();
  }
  if constexpr (!Traits::kLinked) {
    if (failure.exception == nullptr && failure.status.ok()) {
      core->Publish(record);
      return Adopt({record.entry, entry->value()});
    }
  }
  core->Fail(record, failure);
  return Failed<Traits>(failure);
}

template <class K, class V, class Hash, class Eq>
template <class Q, class Start, class Done>
void WeakValueCache<K, V, Hash, Eq>::StartMiss(const Q& key, uint64_t mixed, Start& start,
                                               Done&& done, const WaitOptions& wait) {
  using Load = internal::AsyncLoad<K, V>;
  using AsyncWaiter = internal::AsyncWaiter<K, V>;
  const typename Core::Share share(core_);
  auto load = std::make_unique<Load>(core_);
  auto waiter = std::make_unique<AsyncWaiter>(core_, &core_->ShardFor(mixed),
                                              typename AsyncWaiter::Done(std::forward<Done>(done)));
  internal::Found<Sync> hit;
  const Begin begin = core_->FindOrBegin(mixed, Equal(key, mixed), MakeEntry(key), load.get(),
                                         waiter.get(), /*thread=*/nullptr, &hit);
  AsyncWaiter* const listed = waiter.release();
  switch (begin) {
    case Begin::kHit:
      listed->FinishUnlisted(Adopt(hit));
      return;
    case Begin::kRecursion:  // only for a thread that blocks
    case Begin::kClosed:
      listed->FinishUnlisted(internal::ClosedFailure().status);
      return;
    case Begin::kJoined:
      listed->LeaveOnStop(wait.stop);
      return;
    case Begin::kLeads:
      break;
  }
  Load* const begun = load.release();  // its completion's from here on
  listed->LeaveOnStop(wait.stop);
  auto& innermost = Sync::Local<internal::StartFrame::Innermost>().frame;
  internal::StartFrame frame{begun->id(), /*dropped=*/false, innermost};
  innermost = &frame;
  internal::LoadFailure failure{absl::CancelledError("the load was dropped without a result"),
                                nullptr};
  try {
    start(begun->key(), begun->context(), LoadCompletion<V>(begun));
  } catch (...) {
    failure.exception = std::current_exception();
  }
  innermost = frame.outer;
  if (frame.dropped) {
    begun->Fail(failure);
  } else if (failure.exception != nullptr) {
    // `start` threw after it had given the completion away: the load is in good hands.
    internal::ReportUserException(failure.exception);
  }
}

template <class K, class V, class Hash, class Eq>
template <class Fn>
void WeakValueCache<K, V, Hash, Eq>::ForEach(Fn&& fn) {
  // The entry, for its key, and a reference to its object.
  struct Item {
    Entry* entry;
    StrongRef<V> object;
    Item(Entry* e, StrongRef<V> o) : entry(e), object(std::move(o)) {}
    Item(Item&& other) noexcept
        : entry(std::exchange(other.entry, nullptr)), object(std::move(other.object)) {}
    Item& operator=(Item&&) = delete;
    ~Item() {
      if (entry != nullptr) entry->DropWeak();
    }
  };
  const typename Core::Share share(core_);  // `fn` may destroy the cache
  Core* const core = core_;
  for (size_t i = 0; i < core->shard_count(); ++i) {
    std::vector<Item> items;
    for (bool all = false; !all;) {
      items.clear();  // may run destructors of objects
      items.reserve(core->ApproxShardEntries(i) + 8);
      all = true;
      core->VisitShardLocked(i, [&](Block* block, const internal::Found<Sync>& found) {
        block->CopyWeak();
        // Never reallocates here. A reference dropped under the mutex could be the last one: keep
        // even what does not fit until the mutex is free.
        items.emplace_back(Entry::From(block), Adopt(found));
        if (items.size() < items.capacity()) return true;
        all = false;
        return false;
      });
    }
    for (const Item& item : items) fn(item.entry->key(), item.object);
  }
}

}  // namespace weakref

#endif  // WEAKREF_CACHE_INTERNAL_WEAK_VALUE_CACHE_IMPL_H_
