// ExpiryCallback: runs a callable once after an object has died. RAII: destroying the registration
// cancels it.
//
//   ExpiryCallback on_death(session, [&](const WeakRef<Session>& dead) { sessions.erase(dead); });
//
// When: after the object's destructor; all references read dead by then, also the one passed in.
// Callbacks of one object start newest first. Where: on `executor` (weakref/dispatch/executor.h);
// by default inline, in the thread that dropped the last reference.
// Ownership: the registration does not keep the object alive; the callable is destroyed as soon as
// it has run or has been cancelled, by the thread that did it.
// Thread safety: as any variable; the callable may itself destroy or unregister its registration.
// Errors: an exception out of a callback goes to SetExpiryExceptionHandler's handler and is
// counted; the other callbacks still run. Cost: one allocation to register (more for large
// callables); nothing at death.

#ifndef WEAKREF_EXPIRY_CALLBACK_H_
#define WEAKREF_EXPIRY_CALLBACK_H_

#include <cstdint>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "weakref/dispatch/executor.h"
#include "weakref/internal/callback_node.h"
#include "weakref/strong_ref.h"
#include "weakref/weak_ref.h"

namespace weakref {

// Receives what a callback threw, in the thread where it threw. Must not throw itself.
using ExpiryExceptionHandler = void (*)(std::exception_ptr);
// Returns the former handler. Null restores the default, which writes a line to standard error.
ExpiryExceptionHandler SetExpiryExceptionHandler(ExpiryExceptionHandler handler);
// How many callbacks of this process have thrown.
uint64_t ExpiryExceptionCount();

namespace internal {

// What user code threw where nobody can catch it.
void ReportUserException(std::exception_ptr exception) noexcept;

class ExpiryNode : public CallbackNode<RealSync, ExpiryNode> {
 public:
  ExpiryNode(ControlBlock* block, std::shared_ptr<Executor> executor)
      : block_(block), executor_(std::move(executor)) {}
  virtual ~ExpiryNode() = default;

  virtual void Invoke() = 0;
  virtual void Release() noexcept = 0;

  static void Dispatch(ExpiryNode* node) noexcept {
    const std::shared_ptr<Executor> executor = std::move(node->executor_);
    if (executor == nullptr || ExecutorAccess::IsInline(*executor)) {
      node->Run();
    } else {
      ExecutorAccess::Submit(*executor, node);
    }
  }
  static void ReportException() noexcept { ReportUserException(std::current_exception()); }

  // Only where the list is the block's own: a shard looks for cancelled nodes itself.
  void CountCancelled() {
    if (block_->ops()->add_death_node == nullptr) DeathList<RealSync>::CountCancelled(block_);
  }

 private:
  ControlBlock* const block_;  // the derived node's WeakRef keeps it
  std::shared_ptr<Executor> executor_;
};

template <class T>
class TypedExpiryNode final : public ExpiryNode {
 public:
  using Callback = absl::AnyInvocable<void(const WeakRef<T>&)>;
  TypedExpiryNode(const StrongRef<T>& object, Callback callback, std::shared_ptr<Executor> executor)
      : ExpiryNode(RefAccess::Block(object), std::move(executor)),
        reference_(object),
        callback_(std::move(callback)) {}

  void Invoke() override { callback_(reference_); }
  void Release() noexcept override {
    callback_ = nullptr;
    reference_.reset();
  }

 private:
  WeakRef<T> reference_;
  Callback callback_;
};

}  // namespace internal

class ExpiryCallback {
 public:
  ExpiryCallback() = default;

  // Registers `callback` for the death of `object`. An empty reference registers nothing.
  // REQUIRES: `callback` is not empty.
  // Throws: std::bad_alloc; nothing is registered then.
  // Concurrency: lock-free; for an object in a cache, blocks on its shard's mutex.
  template <class T>
  ExpiryCallback(const StrongRef<T>& object,
                 std::type_identity_t<absl::AnyInvocable<void(const WeakRef<T>&)>> callback,
                 std::shared_ptr<Executor> executor = InlineExecutor::Get()) {
    internal::ControlBlock* block = internal::RefAccess::Block(object);
    if (block == nullptr) return;
    auto node = std::make_unique<internal::TypedExpiryNode<T>>(object, std::move(callback),
                                                               std::move(executor));
    if (block->ops()->add_death_node != nullptr) {
      block->ops()->add_death_node(block, node.get());
    } else {
      internal::DeathList<internal::RealSync>::MaybeSweep(block);
      internal::DeathList<internal::RealSync>::Push(block, node.get());
    }
    node_ = node.release();
  }

  // As above if the object lives. If it is dead nothing is registered (see registered()), and the
  // callback is not run: it could not be told from one that ran because of a death to come.
  template <class T>
  ExpiryCallback(const WeakRef<T>& object,
                 std::type_identity_t<absl::AnyInvocable<void(const WeakRef<T>&)>> callback,
                 std::shared_ptr<Executor> executor = InlineExecutor::Get())
      : ExpiryCallback(object.lock(), std::move(callback), std::move(executor)) {}

  ExpiryCallback(ExpiryCallback&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  ExpiryCallback& operator=(ExpiryCallback&& other) noexcept {
    // The former one goes last: its callable may own this.
    ExpiryCallback former(std::move(other));
    std::swap(node_, former.node_);
    return *this;
  }
  ~ExpiryCallback() { Unregister(); }

  // Cancels. Returns true if the callback has not run and never will.
  // Concurrency: blocks while the callback runs in another thread (as std::stop_callback does), so
  // that what it uses may be destroyed afterwards. From inside the callback: returns at once.
  bool Unregister() {
    if (node_ == nullptr) return false;
    internal::ExpiryNode* node = std::exchange(node_, nullptr);
    const bool cancelled = node->Cancel();
    node->DropShare();
    return cancelled;
  }

  // As Unregister, but never waits: false also when the callback is running elsewhere.
  // The registration is given up in any case, unless the callback is running.
  bool TryUnregister() {
    if (node_ == nullptr) return false;
    using State = internal::ExpiryNode::State;
    internal::ExpiryNode* node = std::exchange(node_, nullptr);  // the callable may own this
    const State found = node->TryCancel();
    if (found == State::kRunning) {
      node_ = node;
      return false;
    }
    node->DropShare();
    return found == State::kArmed;
  }

  // Lets the callback run without this registration.
  void Detach() {
    if (node_ != nullptr) std::exchange(node_, nullptr)->DropShare();
  }

  // Whether this holds a registration that has neither run nor been cancelled; stale at once.
  bool registered() const {
    return node_ != nullptr && node_->state() == internal::ExpiryNode::State::kArmed;
  }

 private:
  internal::ExpiryNode* node_ = nullptr;
};

}  // namespace weakref

#endif  // WEAKREF_EXPIRY_CALLBACK_H_
