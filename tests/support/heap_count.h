// Counts what `new` gives out in this program, and makes it fail when told. Link it and every
// operator new of the program is replaced.

#ifndef WEAKREF_TESTS_SUPPORT_HEAP_COUNT_H_
#define WEAKREF_TESTS_SUPPORT_HEAP_COUNT_H_

#include <cstdint>

namespace weakref::support {

// Blocks from `new` that have not been deleted, of all threads.
int64_t LiveHeapBlocks();

// While one exists, this thread's allocations fail, after the first `allow` ones.
class FailingHeap {
 public:
  explicit FailingHeap(int64_t allow = 0);
  FailingHeap(const FailingHeap&) = delete;
  FailingHeap& operator=(const FailingHeap&) = delete;
  ~FailingHeap();
};

}  // namespace weakref::support

#endif  // WEAKREF_TESTS_SUPPORT_HEAP_COUNT_H_
