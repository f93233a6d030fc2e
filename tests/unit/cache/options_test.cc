// CacheOptions: what is refused, what stands for what.

#include <bit>
#include <string>

#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"

namespace weakref {
namespace {

using Cache = WeakValueCache<int, int>;

TEST(CacheOptions, PowersOfTwoAreFine) {
  for (size_t shards : {1u, 2u, 64u, 65536u}) {
    EXPECT_TRUE((CacheOptions{.shards = shards}.Validate().ok())) << shards;
  }
}

TEST(CacheOptions, OtherNumbersOfShardsAreRefused) {
  for (size_t shards : {size_t{3}, size_t{12}, size_t{65535}, size_t{131072}, ~size_t{0}}) {
    const CacheOptions options{.shards = shards, .name = "textures"};
    const absl::Status status = options.Validate();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << shards;
    EXPECT_NE(status.message().find("textures"), std::string::npos) << status;
    try {
      Cache cache(options);
      ADD_FAILURE() << "made a cache of " << shards << " shards";
    } catch (const CacheError& error) {
      EXPECT_EQ(error.status(), status);
      EXPECT_EQ(std::string(error.what()), status.message());
    }
  }
}

TEST(CacheOptions, ZeroMeansTheDefault) {
  Cache cache;
  EXPECT_EQ(cache.options().shards, CacheOptions::DefaultShards());
  EXPECT_EQ(cache.Stats().shards, CacheOptions::DefaultShards());
  EXPECT_TRUE(std::has_single_bit(CacheOptions::DefaultShards()));
  EXPECT_GE(CacheOptions::DefaultShards(), 16u);
}

TEST(CacheOptions, EveryNumberOfShardsFindsItsKeys) {
  for (size_t shards = 1; shards <= 1024; shards *= 2) {
    Cache cache(CacheOptions{.shards = shards});
    EXPECT_EQ(cache.Stats().shards, shards);
    const auto a = cache.Insert(1, 1);
    const auto b = cache.Insert(-1, 2);
    EXPECT_EQ(cache.Find(1), a);
    EXPECT_EQ(cache.Find(-1), b);
    EXPECT_EQ(cache.size(), 2u);
  }
}

}  // namespace
}  // namespace weakref
