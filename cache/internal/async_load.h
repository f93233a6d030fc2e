// The asynchronous front's side of a load: the operation that runs it, the completion that ends it,
// and a waiter with a callback.
//
// The load record is in the operation, never in a waiter: the first caller is one waiter of it.

#ifndef WEAKREF_CACHE_INTERNAL_ASYNC_LOAD_H_
#define WEAKREF_CACHE_INTERNAL_ASYNC_LOAD_H_

#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cache/internal/blocking_wait.h"
#include "cache/internal/cache_core.h"
#include "cache/internal/load_context.h"
#include "weakref/expiry_callback.h"

namespace weakref::internal {

inline absl::Status StatusOf(const LoadFailure& failure) {
  if (failure.exception == nullptr) return failure.status;
  try {
    std::rethrow_exception(failure.exception);
  } catch (const std::exception& e) {
    return absl::UnknownError(absl::StrCat("the loader threw: ", e.what()));
  } catch (...) {
    return absl::UnknownError("the loader threw");
  }
}

// An asynchronous load, as its completion knows it. Each call ends the load and this.
template <class V>
class AsyncLoadOf {
 public:
  virtual void Complete(absl::StatusOr<V> result) = 0;
  virtual void Complete(absl::StatusOr<StrongRef<V>> result) = 0;
  virtual void Fail(const LoadFailure& failure) = 0;
  virtual uint64_t load_id() const = 0;

 protected:
  ~AsyncLoadOf() = default;
};

template <class K, class V>
class AsyncLoad final : public LoadRecord<RealSync>, public AsyncLoadOf<V> {
 public:
  using Core = CacheCore<RealSync, K, V>;
  using Entry = typename Core::Entry;

  explicit AsyncLoad(Core* core)
      : LoadRecord<RealSync>(/*leader=*/nullptr), core_(core), context_(stop_token()) {}

  LoadContext& context() { return context_; }
  uint64_t load_id() const override { return this->id(); }
  const K& key() const { return Entry::From(entry)->key(); }

  void Complete(absl::StatusOr<V> result) override {
    if (!result.ok()) return Fail({result.status(), nullptr});
    try {
      ::new (Entry::From(entry)->value_storage()) V(*std::move(result));
    } catch (...) {
      return Fail({absl::UnknownError("moving the value threw"), std::current_exception()});
    }
    core_.core()->Publish(*this);
    Block* published = entry;
    delete this;
    published->ReleaseStrong();  // the load's own count; the waiters have theirs
  }
  void Complete(absl::StatusOr<StrongRef<V>> result) override {
    if (!result.ok()) return Fail({result.status(), nullptr});
    if (*result == nullptr || RefAccess::Block(*result) == nullptr) {
      return Fail({absl::InvalidArgumentError("the loader returned a null reference"), nullptr});
    }
    try {
      core_.core()->PublishLinked(*this, RefAccess::Block(*result),
                                  const_cast<std::remove_cv_t<V>*>(result->get()));
    } catch (...) {
      return Fail({absl::ResourceExhaustedError("out of memory"), std::current_exception()});
    }
    delete this;
  }
  void Fail(const LoadFailure& failure) override {
    core_.core()->Fail(*this, failure);
    delete this;
  }

 private:
  // The core outlives the cache until the load has ended.
  class CoreShare {
   public:
    explicit CoreShare(Core* core) : core_(core) { core_->Add(); }
    CoreShare(const CoreShare&) = delete;
    CoreShare& operator=(const CoreShare&) = delete;
    ~CoreShare() { core_->Drop(); }
    Core* core() const { return core_; }

   private:
    Core* const core_;
  };

  CoreShare core_;
  LoadContext context_;
};

// A waiter with a callback. Two shares: the one who completes it, and the one who started the
// request, until the stop callback has been installed.
template <class K, class V>
class AsyncWaiter final : public Waiter<RealSync> {
 public:
  using Core = CacheCore<RealSync, K, V>;
  using Done = absl::AnyInvocable<void(absl::StatusOr<StrongRef<V>>)>;

  AsyncWaiter(Core* core, typename Core::Shard* shard, Done done)
      : core_(core), shard_(shard), done_(std::move(done)) {
    core_->Add();
  }
  ~AsyncWaiter() { core_->Drop(); }

  void Succeed(Found<RealSync> found) noexcept override {
    Finish(RefAccess::AdoptStrong(static_cast<V*>(found.object), found.block));
  }
  void Fail(const LoadFailure& failure) noexcept override { Finish(StatusOf(failure)); }

  // After the request has been started; the request may be over by now.
  void LeaveOnStop(std::stop_token stop) {
    if (stop.stop_possible()) on_stop_.emplace(std::move(stop), StopFn{this});
    DropShare();
  }

  // Calls done for a request that was never listed, and gives up both shares.
  void FinishUnlisted(absl::StatusOr<StrongRef<V>> result) {
    Finish(std::move(result));
    DropShare();
  }

 private:
  struct StopFn {
    AsyncWaiter* waiter;
    void operator()() const {
      if (waiter->core_->Leave(*waiter->shard_, waiter)) {
        waiter->Fail({absl::CancelledError("the request was stopped"), nullptr});
      }
    }
  };

  void Finish(absl::StatusOr<StrongRef<V>> result) noexcept {
    try {
      done_(std::move(result));
    } catch (...) {
      ReportUserException(std::current_exception());
    }
    DropShare();
  }
  void DropShare() {
    // [async-waiter.acq_rel] pairs with itself; carries the installed stop callback to the one who
    // destroys it; breaks SingleFlightModel.WaiterFreedOnce.
    if (shares_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  Core* const core_;
  typename Core::Shard* const shard_;
  Done done_;
  RealSync::Atomic<int> shares_{2};
  std::optional<std::stop_callback<StopFn>> on_stop_;
};

}  // namespace weakref::internal

namespace weakref {

// Ends an asynchronous load: once, from any thread. Move-only. Destroyed uncompleted, it fails the
// load with kCancelled, so that nobody waits for ever.
template <class V>
class LoadCompletion {
 public:
  LoadCompletion(LoadCompletion&& other) noexcept : load_(std::exchange(other.load_, nullptr)) {}
  LoadCompletion& operator=(LoadCompletion&& other) noexcept {
    if (this != &other) {
      Abandon();
      load_ = std::exchange(other.load_, nullptr);
    }
    return *this;
  }
  ~LoadCompletion() { Abandon(); }

  // A new object, an object that exists elsewhere, or an error. Completes all who joined, in this
  // thread, under no lock. REQUIRES: not completed before.
  void Complete(absl::StatusOr<V> result) { Take()->Complete(std::move(result)); }
  void Complete(absl::StatusOr<StrongRef<V>> result) { Take()->Complete(std::move(result)); }
  void Complete(absl::Status failure) { Take()->Fail({std::move(failure), nullptr}); }
  void Complete(std::exception_ptr exception) {
    Take()->Fail({absl::UnknownError("the loader threw"), std::move(exception)});
  }

  explicit operator bool() const { return load_ != nullptr; }

 private:
  template <class, class, class, class>
  friend class WeakValueCache;
  using Load = internal::AsyncLoadOf<V>;

  explicit LoadCompletion(Load* load) : load_(load) {}
  Load* Take() { return std::exchange(load_, nullptr); }
  void Abandon() {
    Load* load = Take();
    if (load == nullptr) return;
    if (auto* frame = internal::StartFrame::Find<internal::RealSync>(load->load_id())) {
      frame->dropped = true;
      return;
    }
    load->Fail({absl::CancelledError("the load was dropped without a result"), nullptr});
  }

  Load* load_;
};

}  // namespace weakref

#endif  // WEAKREF_CACHE_INTERNAL_ASYNC_LOAD_H_
