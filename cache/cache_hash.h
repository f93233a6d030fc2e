// The default hash and equality of caches: absl::Hash and ==, and for std::string keys transparent,
// so that a std::string_view finds without an allocation.

#ifndef WEAKREF_CACHE_CACHE_HASH_H_
#define WEAKREF_CACHE_CACHE_HASH_H_

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/hash/hash.h"

namespace weakref {

// Integers hash to themselves: the cache mixes whatever a hash returns with a random key.
template <class K>
struct CacheHash {
  size_t operator()(const K& key) const {
    if constexpr (std::is_integral_v<K> && sizeof(K) <= sizeof(size_t)) {
      return static_cast<size_t>(key);
    } else {
      return absl::Hash<K>()(key);
    }
  }
};
template <>
struct CacheHash<std::string> {
  using is_transparent = void;
  size_t operator()(std::string_view key) const { return absl::Hash<std::string_view>()(key); }
};

template <class K>
struct CacheEq {
  bool operator()(const K& a, const K& b) const { return a == b; }
};
template <>
struct CacheEq<std::string> {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const { return a == b; }
};

}  // namespace weakref

#endif  // WEAKREF_CACHE_CACHE_HASH_H_
