// WeakRef<T>: an object that may be asked for, and is not kept alive. As std::weak_ptr.
//
//   WeakRef<Image> weak(image);
//   if (StrongRef<Image> image = weak.lock()) image->Draw();   // else it is dead, for good
//
// Ownership: keeps the control block's memory (with MakeStrong: the object's memory, not the
// object) until the last WeakRef is gone.
// Thread safety: as StrongRef.
// Memory ordering: lock() that succeeds acquires: what other owners wrote to the object before they
// dropped their references is visible.
// Cost: lock(): one fetch_add, wait-free, no retry loop (a second one in the instant between a last
// release and its close). Copy and drop: one read-modify-write. expired(), moves: none.

#ifndef WEAKREF_WEAK_REF_H_
#define WEAKREF_WEAK_REF_H_

#include "weakref/strong_ref.h"

namespace weakref {

template <class T>
class WeakRef {
 public:
  using element_type = T;

  constexpr WeakRef() noexcept = default;

  template <class Y>
  requires internal::CompatibleWith<Y, T> WeakRef(const StrongRef<Y>& strong)
  noexcept  // NOLINT(google-explicit-constructor)
      : pointer_(strong.pointer_), block_(strong.block_) {
    if (block_ != nullptr) block_->AddWeak();
  }

  WeakRef(const WeakRef& other) noexcept : pointer_(other.pointer_), block_(other.block_) {
    if (block_ != nullptr) block_->CopyWeak();
  }
  WeakRef(WeakRef&& other) noexcept
      : pointer_(std::exchange(other.pointer_, nullptr)),
        block_(std::exchange(other.block_, nullptr)) {}
  // Converting from a WeakRef to a class with a virtual base needs the object: locks for it.
  template <class Y>
  requires internal::CompatibleWith<Y, T> WeakRef(const WeakRef<Y>& other)
  noexcept  // NOLINT(google-explicit-constructor)
      : pointer_(other.lock().get()), block_(other.block_) {
    if (block_ != nullptr) block_->CopyWeak();
  }
  template <class Y>
  requires internal::CompatibleWith<Y, T> WeakRef(WeakRef<Y>&& other)
  noexcept  // NOLINT(google-explicit-constructor)
      : pointer_(other.lock().get()), block_(std::exchange(other.block_, nullptr)) {
    other.pointer_ = nullptr;
  }

  ~WeakRef() {
    if (block_ != nullptr) block_->DropWeak();
  }

  WeakRef& operator=(const WeakRef& other) noexcept {
    WeakRef(other).swap(*this);
    return *this;
  }
  WeakRef& operator=(WeakRef&& other) noexcept {
    WeakRef(std::move(other)).swap(*this);
    return *this;
  }
  template <class Y>
  requires internal::CompatibleWith<Y, T> WeakRef& operator=(const StrongRef<Y>& strong) noexcept {
    WeakRef(strong).swap(*this);
    return *this;
  }
  template <class Y>
  requires internal::CompatibleWith<Y, T> WeakRef& operator=(const WeakRef<Y>& other) noexcept {
    WeakRef(other).swap(*this);
    return *this;
  }

  // Returns: the object, or null if it is dead or dying (its destructor sees it dead already).
  // Concurrency: wait-free.
  [[nodiscard]] StrongRef<T> lock() const noexcept;

  // Whether the object is dead or dying. False may be stale at once; true is for ever.
  // Concurrency: wait-free.
  [[nodiscard]] bool expired() const noexcept { return block_ == nullptr || block_->IsClosed(); }

  // Strong references to the object, 0 once it is dead; stale at once.
  [[nodiscard]] long use_count() const noexcept {
    return block_ == nullptr ? 0 : static_cast<long>(block_->UseCount());
  }

  void reset() noexcept { WeakRef().swap(*this); }
  void swap(WeakRef& other) noexcept {
    std::swap(pointer_, other.pointer_);
    std::swap(block_, other.block_);
  }

  // By owner: never changes, also when the object dies.
  template <class Y>
  bool owner_before(const WeakRef<Y>& other) const noexcept {
    return std::less<>()(block_, other.block_);
  }
  template <class Y>
  bool owner_before(const StrongRef<Y>& other) const noexcept {
    return std::less<>()(block_, other.block_);
  }
  template <class Y>
  bool owner_equal(const WeakRef<Y>& other) const noexcept {
    return block_ == other.block_;
  }
  template <class Y>
  bool owner_equal(const StrongRef<Y>& other) const noexcept {
    return block_ == other.block_;
  }
  size_t owner_hash() const noexcept { return std::hash<const void*>()(block_); }

  // Equality and hash are the owner's, so that containers of WeakRefs survive their objects.
  friend bool operator==(const WeakRef& a, const WeakRef& b) noexcept { return a.owner_equal(b); }
  template <class H>
  friend H AbslHashValue(H state, const WeakRef& reference) {
    return H::combine(std::move(state), reference.block_);
  }
  friend void swap(WeakRef& a, WeakRef& b) noexcept { a.swap(b); }

 private:
  template <class Y>
  friend class StrongRef;
  template <class Y>
  friend class WeakRef;
  friend struct internal::RefAccess;

  T* pointer_ = nullptr;
  internal::ControlBlock* block_ = nullptr;
};

template <class T>
WeakRef(StrongRef<T>) -> WeakRef<T>;

static_assert(sizeof(WeakRef<int>) == 2 * sizeof(void*));

// How many WeakRefs and registered ExpiryCallbacks refer to the object; stale at once. Leaves out
// what caches and the reference itself need; may count, for an instant, a thread that is about to
// find out that its last release was not the last. Concurrency: wait-free.
template <class T>
size_t GetWeakRefCount(const StrongRef<T>& strong) noexcept;

}  // namespace weakref

template <class T>
struct std::hash<weakref::WeakRef<T>> {
  size_t operator()(const weakref::WeakRef<T>& reference) const noexcept {
    return reference.owner_hash();
  }
};

#include "weakref/internal/ref_impl.h"

#endif  // WEAKREF_WEAK_REF_H_
