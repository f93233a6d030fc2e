// Definitions of StrongRef and WeakRef that need each other. Included by weakref/weak_ref.h.

#ifndef WEAKREF_INTERNAL_REF_IMPL_H_
#define WEAKREF_INTERNAL_REF_IMPL_H_

#include <memory>
#include <utility>

#include "weakref/strong_ref.h"
#include "weakref/weak_ref.h"

namespace weakref {
namespace internal {

// The library's own way into references: block and pointer, with or without a count.
struct RefAccess {
  // Takes over a strong count that the caller owns.
  template <class T>
  static StrongRef<T> AdoptStrong(T* pointer, ControlBlock* block) noexcept {
    StrongRef<T> strong;
    strong.pointer_ = pointer;
    strong.block_ = block;
    return strong;
  }
  // Takes over a token that the caller owns.
  template <class T>
  static WeakRef<T> AdoptWeak(T* pointer, ControlBlock* block) noexcept {
    WeakRef<T> weak;
    weak.pointer_ = pointer;
    weak.block_ = block;
    return weak;
  }
  template <class T>
  static ControlBlock* Block(const StrongRef<T>& strong) noexcept {
    return strong.block_;
  }
  template <class T>
  static ControlBlock* Block(const WeakRef<T>& weak) noexcept {
    return weak.block_;
  }
  // Gives the count up to the caller.
  template <class T>
  static ControlBlock* ReleaseBlock(StrongRef<T>& strong) noexcept {
    strong.pointer_ = nullptr;
    return std::exchange(strong.block_, nullptr);
  }
  // The pointer that a WeakRef would give; valid only while the object is known to live.
  template <class T>
  static T* Pointer(const WeakRef<T>& weak) noexcept {
    return weak.pointer_;
  }
};

// For an object made by MakeStrong or given to StrongRef(pointer).
template <class T, class Y>
StrongRef<T> AdoptNew(T* pointer, Y* object, ControlBlock* block) noexcept {
  LinkStrongFromThis(object, object, block);
  return RefAccess::AdoptStrong(pointer, block);
}

}  // namespace internal

template <class T>
template <class Y, class Deleter, class Allocator>
requires internal::CompatibleWith<Y, T> && std::is_invocable_v<Deleter&, Y*&>
StrongRef<T>::StrongRef(Y* object, Deleter deleter, Allocator allocator) : pointer_(object) {
  using Block = internal::DeleterBlock<Y*, Deleter, Allocator>;
  try {
    block_ = Block::Make(object, deleter, allocator);
  } catch (...) {
    deleter(object);
    throw;
  }
  if (object != nullptr) internal::LinkStrongFromThis(object, object, block_);
}

template <class T>
template <class Deleter, class Allocator>
requires std::is_invocable_v<Deleter&, std::nullptr_t&> StrongRef<T>::StrongRef(
    std::nullptr_t, Deleter deleter, Allocator allocator) {
  using Block = internal::DeleterBlock<std::nullptr_t, Deleter, Allocator>;
  try {
    block_ = Block::Make(nullptr, deleter, allocator);
  } catch (...) {
    std::nullptr_t null = nullptr;
    deleter(null);
    throw;
  }
}

template <class T>
template <class Y, class Deleter>
requires internal::CompatibleWith<Y, T> StrongRef<T>::StrongRef(
    std::unique_ptr<Y, Deleter>&& unique) {
  if (unique == nullptr) return;
  Y* object = unique.get();
  // If the allocation throws, `unique` still owns the object and has its deleter.
  if constexpr (std::is_reference_v<Deleter>) {
    auto deleter = std::ref(unique.get_deleter());
    using Block = internal::DeleterBlock<Y*, decltype(deleter), std::allocator<std::byte>>;
    block_ = Block::Make(object, deleter, {});
  } else {
    using Block = internal::DeleterBlock<Y*, Deleter, std::allocator<std::byte>>;
    block_ = Block::Make(object, unique.get_deleter(), {});
  }
  pointer_ = unique.release();
  internal::LinkStrongFromThis(object, object, block_);
}

template <class T>
template <class Y>
requires internal::CompatibleWith<Y, T> StrongRef<T>::StrongRef(const WeakRef<Y>& weak)
    : StrongRef(weak.lock()) {
  if (block_ == nullptr) throw std::bad_weak_ptr();
}

template <class T>
template <class Y>
bool StrongRef<T>::owner_before(const WeakRef<Y>& other) const noexcept {
  return std::less<>()(block_, internal::RefAccess::Block(other));
}
template <class T>
template <class Y>
bool StrongRef<T>::owner_equal(const WeakRef<Y>& other) const noexcept {
  return block_ == internal::RefAccess::Block(other);
}

template <class T>
StrongRef<T> WeakRef<T>::lock() const noexcept {
  if (block_ == nullptr || !block_->Promote()) return nullptr;
  return internal::RefAccess::AdoptStrong(pointer_, block_);
}

template <class T>
size_t GetWeakRefCount(const StrongRef<T>& strong) noexcept {
  const internal::ControlBlock* block = internal::RefAccess::Block(strong);
  return block == nullptr ? 0 : block->WeakRefCount();
}

}  // namespace weakref

#endif  // WEAKREF_INTERNAL_REF_IMPL_H_
