// Hits, and the types that keys and values may have.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "cache/weak_value_cache.h"
#include "gtest/gtest.h"
#include "tests/support/cache/allocations.h"
#include "weakref/make_strong.h"

namespace weakref {
namespace {

// Longer than what a std::string keeps inside.
constexpr char kLongName[] = "a name that is too long for the small string optimisation";

TEST(CacheLookup, GivesTheSameObjectToAll) {
  WeakValueCache<std::string, int> cache;
  const StrongRef<int> first = cache.GetOrCreate("a", [](const std::string&) { return 1; });
  const StrongRef<int> second = cache.GetOrCreate("a", [](const std::string&) { return 2; });
  EXPECT_EQ(first, second);
  EXPECT_EQ(*second, 1);
  EXPECT_EQ(cache.Find("a"), first);
  EXPECT_EQ(first.use_count(), 2);
}

TEST(CacheLookup, KeysAreApart) {
  WeakValueCache<std::string, int> cache;
  const StrongRef<int> a = cache.Insert("a", 1);
  const StrongRef<int> b = cache.Insert("b", 2);
  EXPECT_EQ(*cache.Find("a"), 1);
  EXPECT_EQ(*cache.Find("b"), 2);
  EXPECT_EQ(cache.Find("c"), nullptr);
}

TEST(CacheLookup, StringCacheFindsByStringViewAndLiteral) {
  WeakValueCache<std::string, int> cache;
  const StrongRef<int> object = cache.Insert(std::string(kLongName), 1);
  EXPECT_EQ(cache.Find(std::string_view(kLongName)), object);
  EXPECT_EQ(cache.Find(kLongName), object);
  EXPECT_EQ(cache.Find(std::string(kLongName)), object);
}

TEST(CacheLookup, HitAllocatesNothing) {
  WeakValueCache<std::string, int> cache;
  const StrongRef<int> object = cache.Insert(kLongName, 1);
  (void)cache.Find(kLongName);  // this thread's first visit
  const auto load = [](const std::string&) { return 2; };
  const uint64_t before = support::AllocationsOfThisThread();
  const StrongRef<int> found = cache.Find(std::string_view(kLongName));
  const StrongRef<int> got = cache.GetOrCreate(std::string_view(kLongName), load);
  const StrongRef<int> none = cache.Find(std::string_view("absent"));
  const uint64_t after = support::AllocationsOfThisThread();
  EXPECT_EQ(after - before, 0u);
  EXPECT_EQ(found, object);
  EXPECT_EQ(got, object);
  EXPECT_EQ(none, nullptr);
  const std::string counted(kLongName);
  EXPECT_EQ(support::AllocationsOfThisThread(), after + 1) << "the counter does not count";
}

TEST(CacheLookup, BlockingLoadOfAValueAllocatesOnceAtMost) {
  WeakValueCache<int, int> cache(CacheOptions{.shards = 1});
  const StrongRef<int> first = cache.Insert(0, 0);  // the slab's chunk
  const uint64_t before = support::AllocationsOfThisThread();
  const StrongRef<int> object = cache.GetOrCreate(1, [](int) { return 1; });
  EXPECT_LE(support::AllocationsOfThisThread() - before, 1u);
}

class Pinned {
 public:
  explicit Pinned(int id) : self_(this), id_(id) {}
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  bool NeverMoved() const { return self_ == this; }
  int id() const { return id_; }

 private:
  const Pinned* const self_;
  const int id_;
};
static_assert(!std::is_move_constructible_v<Pinned>);

TEST(CacheLookup, NonMovableValueIsConstructedInItsPlace) {
  WeakValueCache<int, Pinned> cache;
  const StrongRef<Pinned> object = cache.GetOrCreate(1, [](int key) { return Pinned(key); });
  EXPECT_TRUE(object->NeverMoved());
  EXPECT_EQ(object->id(), 1);
  EXPECT_EQ(cache.Find(1), object);
}

TEST(CacheLookup, NonMovableValueOfAStrongRefLoader) {
  WeakValueCache<int, Pinned> cache;
  const StrongRef<Pinned> object =
      cache.GetOrCreate(1, [](int key) { return MakeStrong<Pinned>(key); });
  EXPECT_TRUE(object->NeverMoved());
  EXPECT_EQ(cache.Find(1), object);
}

TEST(CacheLookup, MoveOnlyValue) {
  WeakValueCache<int, std::unique_ptr<int>> cache;
  const auto inserted = cache.Insert(1, std::make_unique<int>(1));
  const auto loaded = cache.GetOrCreate(2, [](int key) { return std::make_unique<int>(key); });
  EXPECT_EQ(**cache.Find(1), 1);
  EXPECT_EQ(**cache.Find(2), 2);
}

template <size_t kAlign>
struct alignas(kAlign) Aligned {
  char byte = 'x';
  bool IsAligned() const { return reinterpret_cast<uintptr_t>(this) % kAlign == 0; }
};

template <size_t kAlign>
void ExpectAligned() {
  WeakValueCache<int, Aligned<kAlign>> cache;
  std::vector<StrongRef<Aligned<kAlign>>> held;
  for (int i = 0; i < 300; ++i) {
    held.push_back(cache.GetOrCreate(i, [](int) { return Aligned<kAlign>(); }));
    EXPECT_TRUE(held.back()->IsAligned()) << kAlign;
  }
  EXPECT_EQ(cache.size(), 300u);
  held.clear();
  EXPECT_EQ(cache.size(), 0u);
}

TEST(CacheLookup, OverAlignedValue) {
  ExpectAligned<16>();
  ExpectAligned<32>();
  ExpectAligned<64>();
  ExpectAligned<128>();
  ExpectAligned<4096>();
}

struct Empty {};
struct Large {
  std::array<char, 100000> bytes{};
};

TEST(CacheLookup, EmptyValue) {
  WeakValueCache<char, Empty> cache;
  const StrongRef<Empty> a = cache.Insert('a', Empty());
  const StrongRef<Empty> b = cache.Insert('b', Empty());
  EXPECT_NE(a, b);
  EXPECT_EQ(cache.Find('a'), a);
  EXPECT_EQ(cache.Find('b'), b);
}

TEST(CacheLookup, LargeValue) {
  WeakValueCache<int, Large> cache;
  std::vector<StrongRef<Large>> held;
  for (int i = 0; i < 20; ++i) {
    held.push_back(cache.GetOrCreate(i, [](int key) {
      Large large;
      large.bytes.back() = static_cast<char>(key);
      return large;
    }));
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(cache.Find(i)->bytes.back(), i);
}

// Sizes around those where entries stop sharing chunks.
template <size_t kSize>
void ExpectValuesApart() {
  using Bytes = std::array<unsigned char, kSize>;
  WeakValueCache<int, Bytes> cache(CacheOptions{.shards = 1});
  std::vector<StrongRef<Bytes>> held;
  for (int i = 0; i < 20; ++i) {
    Bytes bytes;
    bytes.fill(static_cast<unsigned char>(i));
    held.push_back(cache.Insert(i, bytes));
  }
  for (int i = 0; i < 20; ++i) {
    for (unsigned char byte : *held[i]) ASSERT_EQ(byte, i) << kSize;
  }
}

TEST(CacheLookup, ValuesOfEverySizeAreApart) {
  ExpectValuesApart<1>();
  ExpectValuesApart<16>();
  ExpectValuesApart<24>();
  ExpectValuesApart<25>();
  ExpectValuesApart<500>();
  ExpectValuesApart<1950>();
  ExpectValuesApart<2000>();
  ExpectValuesApart<2050>();
  ExpectValuesApart<8192>();
}

struct LargeKey {
  explicit LargeKey(int n) { words.fill(n); }
  std::array<int, 500> words;
  friend bool operator==(const LargeKey&, const LargeKey&) = default;
  template <class H>
  friend H AbslHashValue(H state, const LargeKey& key) {
    return H::combine(std::move(state), key.words);
  }
};

TEST(CacheLookup, LargeKey) {
  WeakValueCache<LargeKey, char> cache;
  const StrongRef<char> a = cache.Insert(LargeKey(1), 'a');
  const StrongRef<char> b = cache.Insert(LargeKey(2), 'b');
  EXPECT_EQ(cache.Find(LargeKey(1)), a);
  EXPECT_EQ(cache.Find(LargeKey(2)), b);
  EXPECT_EQ(cache.Find(LargeKey(3)), nullptr);
}

enum class Color : uint8_t { kRed, kGreen };

TEST(CacheLookup, OneByteKeys) {
  WeakValueCache<Color, int> colors;
  const StrongRef<int> red = colors.Insert(Color::kRed, 1);
  EXPECT_EQ(colors.Find(Color::kRed), red);
  EXPECT_EQ(colors.Find(Color::kGreen), nullptr);
  WeakValueCache<bool, int> flags;
  const StrongRef<int> yes = flags.Insert(true, 1);
  EXPECT_EQ(flags.Find(true), yes);
  EXPECT_EQ(flags.Find(false), nullptr);
}

TEST(CacheLookup, PointerKey) {
  int a = 0;
  int b = 0;
  WeakValueCache<int*, int> cache;
  const StrongRef<int> of_a = cache.Insert(&a, 1);
  EXPECT_EQ(cache.Find(&a), of_a);
  EXPECT_EQ(cache.Find(&b), nullptr);
}

TEST(CacheLookup, MoveOnlyKeyIsMadeOfWhatFinds) {
  struct Key {
    explicit Key(int n) : number(std::make_unique<int>(n)) {}
    std::unique_ptr<int> number;
  };
  struct Hash {
    size_t operator()(int n) const { return static_cast<size_t>(n); }
  };
  struct Equal {
    bool operator()(const Key& key, int n) const { return *key.number == n; }
  };
  WeakValueCache<Key, int, Hash, Equal> cache;
  const StrongRef<int> object = cache.GetOrCreate(5, [](const Key& key) { return *key.number; });
  EXPECT_EQ(*object, 5);
  EXPECT_EQ(cache.Find(5), object);
}

TEST(CacheLookup, StatefulHashAndEqualityAreUsed) {
  struct Hash {
    size_t operator()(int n) const { return static_cast<size_t>(n % modulus); }
    int modulus;
  };
  struct Equal {
    bool operator()(int a, int b) const { return a % modulus == b % modulus; }
    int modulus;
  };
  WeakValueCache<int, int, Hash, Equal> cache({}, Hash{10}, Equal{10});
  const StrongRef<int> object = cache.Insert(3, 1);
  EXPECT_EQ(cache.Find(13), object);
  EXPECT_EQ(cache.Find(14), nullptr);
}

TEST(CacheLookup, IdentityHashSpreadsOverShards) {
  struct Identity {
    size_t operator()(int n) const { return static_cast<size_t>(n); }
  };
  WeakValueCache<int, int, Identity> cache(CacheOptions{.shards = 16});
  std::vector<StrongRef<int>> held;
  for (int i = 0; i < 1000; ++i) held.push_back(cache.Insert(i, i));
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(cache.Find(i), held[i]);
  EXPECT_EQ(cache.size(), 1000u);
}

}  // namespace
}  // namespace weakref
