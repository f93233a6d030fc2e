#include "cache/cache_manager.h"
#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"

namespace weakref {
namespace {

struct Object {
  std::string name;
};

TEST(WeakValueCache, GivesTheSameObjectToAll) {
  WeakValueCache<std::string, Object> cache;
  const auto load = [](const std::string& key) { return Object{key}; };
  const StrongRef<Object> first = cache.GetOrCreate("a", load);
  EXPECT_EQ(cache.GetOrCreate("a", load), first);
  EXPECT_EQ(cache.Find("a"), first);
}

}  // namespace
}  // namespace weakref
