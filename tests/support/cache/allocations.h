// Counts what the test program allocates with operator new.

#ifndef WEAKREF_TESTS_SUPPORT_CACHE_ALLOCATIONS_H_
#define WEAKREF_TESTS_SUPPORT_CACHE_ALLOCATIONS_H_

#include <cstddef>
#include <cstdint>

namespace weakref::support {

// Allocations of the calling thread so far.
uint64_t AllocationsOfThisThread();
// Blocks and bytes of the process that are allocated now.
int64_t LiveAllocations();
int64_t LiveBytes();

// Called by the allocating thread before each over-aligned allocation, while it is not null.
using AlignedAllocationHook = void (*)(size_t size, size_t align);
void SetAlignedAllocationHook(AlignedAllocationHook hook);

// From now on this thread's n-th allocation (from 0) throws std::bad_alloc, once.
void FailAllocationOfThisThread(int n);
// Takes that back; returns whether it has happened.
bool StopFailingAllocations();

}  // namespace weakref::support

#endif  // WEAKREF_TESTS_SUPPORT_CACHE_ALLOCATIONS_H_
