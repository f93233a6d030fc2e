// EnableStrongFromThis<T>: an object that can make references to itself.
//
//   struct Session : EnableStrongFromThis<Session> {
//     void Start() { timer.Then([self = strong_from_this()] { self->Tick(); }); }
//   };
//
// As std::enable_shared_from_this, but it holds no weak reference of its own, so an object that
// nobody refers to weakly dies without a single extra read-modify-write.
// In the constructor the object is not owned yet: weak_from_this() is empty, strong_from_this()
// throws. In the destructor it is dead already: weak_from_this() is expired.
// Thread safety: const access; both may be called by anyone who may use the object.

#ifndef WEAKREF_ENABLE_STRONG_FROM_THIS_H_
#define WEAKREF_ENABLE_STRONG_FROM_THIS_H_

#include <memory>

#include "weakref/strong_ref.h"
#include "weakref/weak_ref.h"

namespace weakref {

template <class T>
class EnableStrongFromThis {
 public:
  // Throws: std::bad_weak_ptr if no StrongRef owns the object, or it is being destroyed.
  StrongRef<T> strong_from_this() { return Strong<T>(object_); }
  StrongRef<const T> strong_from_this() const { return Strong<const T>(object_); }

  WeakRef<T> weak_from_this() noexcept { return Weak<T>(object_); }
  WeakRef<const T> weak_from_this() const noexcept { return Weak<const T>(object_); }

 protected:
  constexpr EnableStrongFromThis() noexcept = default;
  // A copy is another object: nobody owns it yet.
  EnableStrongFromThis(const EnableStrongFromThis&) noexcept {}
  EnableStrongFromThis& operator=(const EnableStrongFromThis&) noexcept { return *this; }
  ~EnableStrongFromThis() = default;

 private:
  template <class A, class B>
  friend void internal::LinkStrongFromThis(const EnableStrongFromThis<B>* base, A* object,
                                           internal::ControlBlock* block);

  template <class U>
  StrongRef<U> Strong(T* object) const {
    if (block_ == nullptr || !block_->Promote()) throw std::bad_weak_ptr();
    return internal::RefAccess::AdoptStrong<U>(object, block_);
  }
  template <class U>
  WeakRef<U> Weak(T* object) const noexcept {
    if (block_ == nullptr) return {};
    block_->AddWeak();
    return internal::RefAccess::AdoptWeak<U>(object, block_);
  }

  // Written once, before the first reference is handed out. The block outlives the object.
  mutable T* object_ = nullptr;
  mutable internal::ControlBlock* block_ = nullptr;
};

namespace internal {
template <class T, class U>
void LinkStrongFromThis(const EnableStrongFromThis<U>* base, T* object, ControlBlock* block) {
  if (base == nullptr || base->block_ != nullptr) return;  // a second owner does not take over
  base->object_ = const_cast<std::remove_const_t<T>*>(object);
  base->block_ = block;
}
}  // namespace internal

}  // namespace weakref

#endif  // WEAKREF_ENABLE_STRONG_FROM_THIS_H_
