#include "tests/support/heap_count.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace weakref::support {
namespace {

constinit std::atomic<int64_t> live_blocks{0};
constexpr int64_t kUnlimited = -1;
constinit thread_local int64_t allowed = kUnlimited;

void* Take(size_t size, size_t align) noexcept {
  if (allowed == 0) return nullptr;
  if (allowed > 0) --allowed;
  size = size == 0 ? 1 : size;
  void* memory = align <= alignof(std::max_align_t)
                     ? std::malloc(size)
                     : std::aligned_alloc(align, (size + align - 1) / align * align);
  if (memory != nullptr) live_blocks.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

void* TakeOrThrow(size_t size, size_t align) {
  void* memory = Take(size, align);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void Give(void* memory) noexcept {
  if (memory == nullptr) return;
  live_blocks.fetch_sub(1, std::memory_order_relaxed);
  std::free(memory);
}

}  // namespace

int64_t LiveHeapBlocks() { return live_blocks.load(std::memory_order_relaxed); }

FailingHeap::FailingHeap(int64_t allow) { allowed = allow; }
FailingHeap::~FailingHeap() { allowed = kUnlimited; }

}  // namespace weakref::support

using weakref::support::Give;
using weakref::support::Take;
using weakref::support::TakeOrThrow;

// The array forms and the sized ones call these.
void* operator new(size_t size) { return TakeOrThrow(size, 1); }
void* operator new(size_t size, std::align_val_t align) {
  return TakeOrThrow(size, static_cast<size_t>(align));
}
void* operator new(size_t size, const std::nothrow_t&) noexcept { return Take(size, 1); }
void* operator new(size_t size, std::align_val_t align, const std::nothrow_t&) noexcept {
  return Take(size, static_cast<size_t>(align));
}
void operator delete(void* memory) noexcept { Give(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { Give(memory); }
void operator delete(void* memory, size_t) noexcept { Give(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { Give(memory); }
