// CacheManager<K, V>: a cache bound to its loader; Python's pattern of a WeakValueDictionary behind
// GetObject, without its race.
//
//   CacheManager<std::string, Texture> textures([](const std::string& n) { return Texture(n); });
//   StrongRef<Texture> grass = textures.GetObject("grass");
//
// Objects that only the cache can construct: examples/cache_manager.
//
// Contract, thread safety, errors: those of WeakValueCache::GetOrCreate.

#ifndef WEAKREF_CACHE_CACHE_MANAGER_H_
#define WEAKREF_CACHE_CACHE_MANAGER_H_

#include <functional>
#include <utility>

#include "cache/weak_value_cache.h"

namespace weakref {

template <class K, class V, class Loader = std::function<V(const K&)>, class Hash = CacheHash<K>,
          class Eq = CacheEq<K>>
class CacheManager {
 public:
  using Cache = WeakValueCache<K, V, Hash, Eq>;

  // `loader` is called from several threads at once, for different keys.
  explicit CacheManager(Loader loader, CacheOptions options = {})
      : loader_(std::move(loader)), cache_(std::move(options)) {}

  // Returns the name's one object; creates it if there is none.
  template <class Q>
  auto GetObject(const Q& name, const WaitOptions& wait = {}) {
    return cache_.GetOrCreate(name, loader_, wait);
  }

  // Everything else: Find, Invalidate, Stats, ...
  Cache& cache() { return cache_; }

 private:
  Loader loader_;
  Cache cache_;
};

}  // namespace weakref

#endif  // WEAKREF_CACHE_CACHE_MANAGER_H_
