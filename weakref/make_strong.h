// MakeStrong<T>(args...): a new object and its control block in one allocation.
//
//   StrongRef<Session> session = MakeStrong<Session>(id, peer);
//
// The header takes 32 bytes. The memory goes back when the last StrongRef and WeakRef are gone; for
// large objects with long-lived WeakRefs, StrongRef(std::make_unique<T>(...)) gives the object's
// part back earlier.
// Throws: std::bad_alloc, or what T's constructor throws; nothing leaks.

#ifndef WEAKREF_MAKE_STRONG_H_
#define WEAKREF_MAKE_STRONG_H_

#include <memory>
#include <type_traits>
#include <utility>

#include "weakref/strong_ref.h"

namespace weakref {

template <class T, class... Args>
requires(!std::is_array_v<T>) [[nodiscard]] StrongRef<T> MakeStrong(Args&&... args) {
  using Object = std::remove_cv_t<T>;
  auto block = std::make_unique<internal::InplaceBlock<Object>>();
  Object* object = ::new (block->storage()) Object(std::forward<Args>(args)...);
  return internal::AdoptNew<T>(object, object, block.release());
}

}  // namespace weakref

#endif  // WEAKREF_MAKE_STRONG_H_
