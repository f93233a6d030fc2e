// The hashes that stress suites are repeated with: a good one, and two that make keys collide.

#ifndef WEAKREF_TESTS_SUPPORT_CACHE_HASHES_H_
#define WEAKREF_TESTS_SUPPORT_CACHE_HASHES_H_

#include <cstddef>

#include "absl/hash/hash.h"

namespace weakref::support {

struct GoodHash {
  size_t operator()(int key) const { return absl::Hash<int>()(key); }
};
// Every key in one shard, one bucket chain, with one stored hash: all comparisons are the key's.
struct ConstantHash {
  size_t operator()(int) const { return 42; }
};
struct FourBitHash {
  size_t operator()(int key) const { return absl::Hash<int>()(key) & 15; }
};

}  // namespace weakref::support

#endif  // WEAKREF_TESTS_SUPPORT_CACHE_HASHES_H_
