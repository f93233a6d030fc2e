// StrongRef<T>: shared ownership of an object, as std::shared_ptr, over a control block that makes
// weak references wait-free.
//
// Use it for what caches and weak references hand out. Where nothing weak is involved and code
// outside expects std::shared_ptr, that one serves as well.
//
//   StrongRef<Image> image = MakeStrong<Image>("cat.png");   // weakref/make_strong.h
//   WeakRef<Image> weak(image);                              // weakref/weak_ref.h
//   if (StrongRef<Image> again = weak.lock()) again->Draw();
//
// Ownership: the object is destroyed when its last StrongRef is; the memory of a MakeStrong object
// when its last WeakRef is gone too.
// Thread safety: different StrongRefs may be used from any threads at once, also when they own the
// same object; one StrongRef as any variable: concurrent reads, or one writer.
// Memory ordering: for threads X and Y: what X wrote to the object before it dropped a reference is
// visible to the object's destructor, and to Y after a WeakRef::lock() that came later.
// Lifetime: an object's death, its destructor included, runs in the thread that drops the last
// reference. Deaths nested more than 64 deep are run by the same thread before the outermost
// release returns, so that long chains need no stack.
// Errors: what the object's constructor, the allocator or the deleter's move throws; nothing leaks.
// Cost: two words. Copy: one relaxed fetch_add; drop: one fetch_sub. Moves touch no counter.

#ifndef WEAKREF_STRONG_REF_H_
#define WEAKREF_STRONG_REF_H_

#include <compare>
#include <cstddef>
#include <functional>
#include <memory>
#include <ostream>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "weakref/internal/block_kinds.h"
#include "weakref/internal/control_block.h"

namespace weakref {

template <class T>
class StrongRef;
template <class T>
class WeakRef;
template <class T>
class EnableStrongFromThis;

namespace internal {
struct RefAccess;
template <class T>
void LinkStrongFromThis(const volatile void* /*base*/, T* /*object*/, ControlBlock* /*block*/) {}
template <class T, class U>
void LinkStrongFromThis(const EnableStrongFromThis<U>* base, T* object, ControlBlock* block);

// As the standard's *compatible-with*: a Y* that may become a T* of a reference.
template <class Y, class T>
concept CompatibleWith = std::is_convertible_v<Y*, T*>;
}  // namespace internal

template <class T>
class StrongRef {
 public:
  using element_type = T;
  using weak_type = WeakRef<T>;

  // Owns nothing.
  constexpr StrongRef() noexcept = default;
  constexpr StrongRef(std::nullptr_t) noexcept {}  // NOLINT(google-explicit-constructor)

  // Owns *object, to be destroyed by `delete` (of type Y, as given here) or `deleter(object)`.
  // The block is allocated apart, by `allocator` if given. Prefer MakeStrong.
  // Throws: std::bad_alloc; `object` has been destroyed then.
  template <class Y>
  requires internal::CompatibleWith<Y, T>
  explicit StrongRef(Y* object) : StrongRef(object, std::default_delete<Y>()) {
    static_assert(sizeof(Y) > 0, "the object's type must be complete");
  }
  template <class Y, class Deleter, class Allocator = std::allocator<std::byte>>
  requires internal::CompatibleWith<Y, T> && std::is_invocable_v<Deleter&, Y*&> StrongRef(
      Y* object, Deleter deleter, Allocator allocator = Allocator());
  // Calls deleter(nullptr) in the end, as std::shared_ptr does.
  template <class Deleter, class Allocator = std::allocator<std::byte>>
  requires std::is_invocable_v<Deleter&, std::nullptr_t&> StrongRef(
      std::nullptr_t, Deleter deleter, Allocator allocator = Allocator());
  template <class Y, class Deleter>
  requires internal::CompatibleWith<Y, T> StrongRef(
      std::unique_ptr<Y, Deleter>&& unique);  // NOLINT(google-explicit-constructor)

  // Aliasing: shares `owner`'s object, points to `element`.
  template <class Y>
  StrongRef(const StrongRef<Y>& owner, T* element) noexcept
      : pointer_(element), block_(owner.block_) {
    if (block_ != nullptr) block_->CopyStrong();
  }
  template <class Y>
  StrongRef(StrongRef<Y>&& owner, T* element) noexcept
      : pointer_(element), block_(std::exchange(owner.block_, nullptr)) {
    owner.pointer_ = nullptr;
  }

  // Throws: std::bad_weak_ptr if the object is dead. WeakRef::lock() does not throw.
  template <class Y>
  requires internal::CompatibleWith<Y, T>
  explicit StrongRef(const WeakRef<Y>& weak);

  StrongRef(const StrongRef& other) noexcept : StrongRef(other, other.pointer_) {}
  StrongRef(StrongRef&& other) noexcept
      : pointer_(std::exchange(other.pointer_, nullptr)),
        block_(std::exchange(other.block_, nullptr)) {}
  template <class Y>
  requires internal::CompatibleWith<Y, T> StrongRef(const StrongRef<Y>& other)
  noexcept  // NOLINT(google-explicit-constructor)
      : StrongRef(other, other.get()) {}
  template <class Y>
  requires internal::CompatibleWith<Y, T> StrongRef(StrongRef<Y>&& other)
  noexcept  // NOLINT(google-explicit-constructor)
      : pointer_(std::exchange(other.pointer_, nullptr)),
        block_(std::exchange(other.block_, nullptr)) {}

  // Drops the reference; the last one destroys the object here.
  ~StrongRef() {
    if (block_ != nullptr) block_->ReleaseStrong();
  }

  // The old reference is dropped last: the object's destructor may look at this StrongRef.
  StrongRef& operator=(const StrongRef& other) noexcept {
    StrongRef(other).swap(*this);
    return *this;
  }
  StrongRef& operator=(StrongRef&& other) noexcept {
    StrongRef(std::move(other)).swap(*this);
    return *this;
  }
  template <class Y>
  requires internal::CompatibleWith<Y, T> StrongRef& operator=(const StrongRef<Y>& other) noexcept {
    StrongRef(other).swap(*this);
    return *this;
  }
  template <class Y>
  requires internal::CompatibleWith<Y, T> StrongRef& operator=(StrongRef<Y>&& other) noexcept {
    StrongRef(std::move(other)).swap(*this);
    return *this;
  }
  template <class Y, class Deleter>
  requires internal::CompatibleWith<Y, T> StrongRef& operator=(
      std::unique_ptr<Y, Deleter>&& unique) {
    StrongRef(std::move(unique)).swap(*this);
    return *this;
  }

  void reset() noexcept { StrongRef().swap(*this); }
  template <class Y, class... DeleterAndAllocator>
  void reset(Y* object, DeleterAndAllocator... arguments) {
    StrongRef(object, std::move(arguments)...).swap(*this);
  }
  void swap(StrongRef& other) noexcept {
    std::swap(pointer_, other.pointer_);
    std::swap(block_, other.block_);
  }

  T* get() const noexcept { return pointer_; }
  std::add_lvalue_reference_t<T> operator*() const noexcept requires(!std::is_void_v<T>) {
    return *pointer_;
  }
  T* operator->() const noexcept { return pointer_; }
  explicit operator bool() const noexcept { return pointer_ != nullptr; }

  // Strong references to the object; stale at once, 0 for an empty reference.
  // Concurrency: wait-free.
  long use_count() const noexcept {
    return block_ == nullptr ? 0 : static_cast<long>(block_->UseCount());
  }

  // Orders and compares by owner: aliases of one object are equal, also after its death.
  template <class Y>
  bool owner_before(const StrongRef<Y>& other) const noexcept {
    return std::less<>()(block_, other.block_);
  }
  template <class Y>
  bool owner_before(const WeakRef<Y>& other) const noexcept;
  template <class Y>
  bool owner_equal(const StrongRef<Y>& other) const noexcept {
    return block_ == other.block_;
  }
  template <class Y>
  bool owner_equal(const WeakRef<Y>& other) const noexcept;
  size_t owner_hash() const noexcept { return std::hash<const void*>()(block_); }

  friend void swap(StrongRef& a, StrongRef& b) noexcept { a.swap(b); }

 private:
  template <class Y>
  friend class StrongRef;
  template <class Y>
  friend class WeakRef;
  friend struct internal::RefAccess;

  T* pointer_ = nullptr;
  internal::ControlBlock* block_ = nullptr;
};

template <class Y, class Deleter>
StrongRef(std::unique_ptr<Y, Deleter>) -> StrongRef<Y>;
template <class T>
StrongRef(WeakRef<T>) -> StrongRef<T>;

static_assert(sizeof(StrongRef<int>) == 2 * sizeof(void*));

// Compared by the pointers they hold, as std::shared_ptr.
template <class T, class U>
bool operator==(const StrongRef<T>& a, const StrongRef<U>& b) noexcept {
  return a.get() == b.get();
}
template <class T, class U>
std::strong_ordering operator<=>(const StrongRef<T>& a, const StrongRef<U>& b) noexcept {
  return std::compare_three_way()(a.get(), b.get());
}
template <class T>
bool operator==(const StrongRef<T>& a, std::nullptr_t) noexcept {
  return a.get() == nullptr;
}
template <class T>
std::strong_ordering operator<=>(const StrongRef<T>& a, std::nullptr_t) noexcept {
  return std::compare_three_way()(a.get(), static_cast<T*>(nullptr));
}

template <class H, class T>
H AbslHashValue(H state, const StrongRef<T>& reference) {
  return H::combine(std::move(state), reference.get());
}

template <class Char, class Traits, class T>
std::basic_ostream<Char, Traits>& operator<<(std::basic_ostream<Char, Traits>& stream,
                                             const StrongRef<T>& reference) {
  return stream << static_cast<const void*>(reference.get());
}

// The four casts share the object; an rvalue's reference is moved, and kept if dynamic_cast fails.
template <class T, class U>
StrongRef<T> static_pointer_cast(StrongRef<U> from) noexcept {
  T* element = static_cast<T*>(from.get());
  return StrongRef<T>(std::move(from), element);
}
template <class T, class U>
StrongRef<T> const_pointer_cast(StrongRef<U> from) noexcept {
  T* element = const_cast<T*>(from.get());
  return StrongRef<T>(std::move(from), element);
}
template <class T, class U>
StrongRef<T> reinterpret_pointer_cast(StrongRef<U> from) noexcept {
  T* element = reinterpret_cast<T*>(from.get());
  return StrongRef<T>(std::move(from), element);
}
template <class T, class U>
StrongRef<T> dynamic_pointer_cast(const StrongRef<U>& from) noexcept {
  T* element = dynamic_cast<T*>(from.get());
  return element == nullptr ? StrongRef<T>() : StrongRef<T>(from, element);
}
template <class T, class U>
StrongRef<T> dynamic_pointer_cast(StrongRef<U>&& from) noexcept {
  T* element = dynamic_cast<T*>(from.get());
  return element == nullptr ? StrongRef<T>() : StrongRef<T>(std::move(from), element);
}

}  // namespace weakref

template <class T>
struct std::hash<weakref::StrongRef<T>> {
  size_t operator()(const weakref::StrongRef<T>& reference) const noexcept {
    return std::hash<T*>()(reference.get());
  }
};

#include "weakref/weak_ref.h"  // the definitions below need it

#endif  // WEAKREF_STRONG_REF_H_
