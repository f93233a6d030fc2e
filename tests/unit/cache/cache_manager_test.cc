// CacheManager: objects that only the cache can make.

#include "cache/cache_manager.h"

#include <atomic>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/run_threads.h"

namespace weakref {
namespace {

class Texture {
 public:
  Texture(const Texture&) = delete;
  Texture& operator=(const Texture&) = delete;
  const std::string& name() const { return name_; }

 private:
  friend CacheManager<std::string, Texture> MakeTextures();
  explicit Texture(std::string name) : name_(std::move(name)) {}
  const std::string name_;
};
static_assert(!std::is_constructible_v<Texture, std::string>);

CacheManager<std::string, Texture> MakeTextures() {
  return CacheManager<std::string, Texture>([](const std::string& name) { return Texture(name); });
}

TEST(CacheManager, MakesObjectsThatNobodyElseCanMake) {
  auto textures = MakeTextures();
  const StrongRef<Texture> grass = textures.GetObject("grass");
  EXPECT_EQ(grass->name(), "grass");
  EXPECT_EQ(textures.GetObject("grass"), grass);
  EXPECT_NE(textures.GetObject("stone"), grass);
}

TEST(CacheManager, ObjectLivesAsLongAsItIsUsed) {
  auto textures = MakeTextures();
  StrongRef<Texture> grass = textures.GetObject("grass");
  const WeakRef<Texture> weak(grass);
  grass.reset();
  EXPECT_TRUE(weak.expired());
  EXPECT_EQ(textures.cache().Find("grass"), nullptr);
  EXPECT_TRUE(textures.cache().empty());
}

TEST(CacheManager, OneObjectForManyThreads) {
  std::atomic<int> made{0};
  CacheManager<std::string, int> manager([&](const std::string&) { return ++made; });
  std::vector<StrongRef<int>> got(8);
  support::RunThreads(8, [&](int i) { got[i] = manager.GetObject("one"); });
  EXPECT_EQ(made, 1);
  for (const auto& object : got) EXPECT_EQ(object, got[0]);
}

TEST(CacheManager, LoaderMayReturnStatusOr) {
  struct Loader {
    absl::StatusOr<int> operator()(int key) const {
      if (key < 0) return absl::NotFoundError("no such thing");
      return key;
    }
  };
  CacheManager<int, int, Loader> manager(Loader{}, CacheOptions{.shards = 2, .name = "numbers"});
  const absl::StatusOr<StrongRef<int>> one = manager.GetObject(1);
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(**one, 1);
  EXPECT_EQ(manager.GetObject(-1).status(), absl::NotFoundError("no such thing"));
  EXPECT_EQ(manager.cache().options().name, "numbers");
}

TEST(CacheManager, TakesWaitOptions) {
  CacheManager<int, int> manager([&](int key) { return key; });
  EXPECT_EQ(*manager.GetObject(1, WaitOptions{.deadline = absl::InfinitePast()}), 1);
}

}  // namespace
}  // namespace weakref
