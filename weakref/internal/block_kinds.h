// The two kinds of plain control block: object and block in one allocation, or apart.

#ifndef WEAKREF_INTERNAL_BLOCK_KINDS_H_
#define WEAKREF_INTERNAL_BLOCK_KINDS_H_

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "weakref/internal/control_block.h"
#include "weakref/internal/death.h"

namespace weakref::internal {

// MakeStrong: header of 32 bytes, the object behind it.
template <class T>
class InplaceBlock final : public ControlBlock {
 public:
  InplaceBlock() : ControlBlock(&kOps) {}

  T* object() { return std::launder(reinterpret_cast<T*>(storage_)); }
  void* storage() { return storage_; }

 private:
  static void Dispose(ControlBlock* block) noexcept {
    static_cast<InplaceBlock*>(block)->object()->~T();
  }
  static void Deallocate(ControlBlock* block) noexcept { delete static_cast<InplaceBlock*>(block); }

  static constexpr Ops kOps = {&Dispose, &Deallocate, nullptr, nullptr, nullptr};

  alignas(T) std::byte storage_[sizeof(T)];
};

// StrongRef(pointer, deleter, allocator): the object is somewhere else.
template <class P, class Deleter, class Allocator>
class DeleterBlock final : public ControlBlock {
 public:
  DeleterBlock(P pointer, Deleter&& deleter, const Allocator& allocator)
      : ControlBlock(&kOps),
        pointer_(pointer),
        allocator_(allocator),
        deleter_(std::move(deleter)) {}

  using Rebound = typename std::allocator_traits<Allocator>::template rebind_alloc<DeleterBlock>;

  // Throws what the allocator throws, `deleter` is untouched then; or what moving `deleter` throws.
  static DeleterBlock* Make(P pointer, Deleter& deleter, const Allocator& allocator) {
    Rebound rebound(allocator);
    DeleterBlock* block = std::allocator_traits<Rebound>::allocate(rebound, 1);
    try {
      return ::new (static_cast<void*>(block)) DeleterBlock(pointer, std::move(deleter), allocator);
    } catch (...) {
      std::allocator_traits<Rebound>::deallocate(rebound, block, 1);
      throw;
    }
  }

 private:
  static void Dispose(ControlBlock* block) noexcept {
    auto* self = static_cast<DeleterBlock*>(block);
    self->deleter_(self->pointer_);
  }
  static void Deallocate(ControlBlock* block) noexcept {
    auto* self = static_cast<DeleterBlock*>(block);
    Rebound rebound(std::move(self->allocator_));
    self->~DeleterBlock();
    std::allocator_traits<Rebound>::deallocate(rebound, self, 1);
  }

  static constexpr Ops kOps = {&Dispose, &Deallocate, nullptr, nullptr, nullptr};

  P pointer_;
  [[no_unique_address]] Allocator allocator_;
  [[no_unique_address]] Deleter deleter_;
};

}  // namespace weakref::internal

#endif  // WEAKREF_INTERNAL_BLOCK_KINDS_H_
