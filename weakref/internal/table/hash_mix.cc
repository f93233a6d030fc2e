#include "weakref/internal/table/hash_mix.h"

#include <random>

namespace weakref::internal::table {

HashKey ProcessHashKey() {
  static const HashKey key = [] {
    std::random_device random;
    auto word = [&random] { return (uint64_t{random()} << 32) | random(); };
    return HashKey{word(), word() | 1};
  }();
  return key;
}

}  // namespace weakref::internal::table
