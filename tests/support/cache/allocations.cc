#include "tests/support/cache/allocations.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace weakref::support {
namespace {

std::atomic<int64_t> live{0};
std::atomic<int64_t> live_bytes{0};
std::atomic<AlignedAllocationHook> aligned_hook{nullptr};
constinit thread_local uint64_t of_this_thread = 0;
constinit thread_local int fail_in = -1;

void* Count(void* p) {
  if (p == nullptr) throw std::bad_alloc();
  ++of_this_thread;
  live.fetch_add(1, std::memory_order_relaxed);
  live_bytes.fetch_add(static_cast<int64_t>(malloc_usable_size(p)), std::memory_order_relaxed);
  return p;
}

void MaybeFail() {
  if (fail_in >= 0 && fail_in-- == 0) throw std::bad_alloc();
}

void* New(size_t size) {
  MaybeFail();
  return Count(std::malloc(size == 0 ? 1 : size));
}

void* NewAligned(size_t size, size_t align) {
  MaybeFail();
  if (AlignedAllocationHook hook = aligned_hook.load()) hook(size, align);
  return Count(std::aligned_alloc(align, (size + align - 1) / align * align));
}

void Delete(void* p) {
  if (p == nullptr) return;
  live.fetch_sub(1, std::memory_order_relaxed);
  live_bytes.fetch_sub(static_cast<int64_t>(malloc_usable_size(p)), std::memory_order_relaxed);
  std::free(p);
}

}  // namespace

uint64_t AllocationsOfThisThread() { return of_this_thread; }
int64_t LiveAllocations() { return live.load(); }
int64_t LiveBytes() { return live_bytes.load(); }
void SetAlignedAllocationHook(AlignedAllocationHook hook) { aligned_hook.store(hook); }
void FailAllocationOfThisThread(int n) { fail_in = n; }
bool StopFailingAllocations() {
  const bool happened = fail_in < 0;
  fail_in = -1;
  return happened;
}

}  // namespace weakref::support

void* operator new(size_t size) { return weakref::support::New(size); }
void* operator new[](size_t size) { return weakref::support::New(size); }
void* operator new(size_t size, std::align_val_t align) {
  return weakref::support::NewAligned(size, static_cast<size_t>(align));
}
void* operator new[](size_t size, std::align_val_t align) {
  return weakref::support::NewAligned(size, static_cast<size_t>(align));
}
void operator delete(void* p) noexcept { weakref::support::Delete(p); }
void operator delete[](void* p) noexcept { weakref::support::Delete(p); }
void operator delete(void* p, size_t) noexcept { weakref::support::Delete(p); }
void operator delete[](void* p, size_t) noexcept { weakref::support::Delete(p); }
void operator delete(void* p, std::align_val_t) noexcept { weakref::support::Delete(p); }
void operator delete[](void* p, std::align_val_t) noexcept { weakref::support::Delete(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { weakref::support::Delete(p); }
void operator delete[](void* p, size_t, std::align_val_t) noexcept { weakref::support::Delete(p); }
