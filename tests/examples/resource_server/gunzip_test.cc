#include "examples/resource_server/gunzip.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "tests/examples/resource_server/temp_dir.h"

namespace resource_server {
namespace {

using testing::Gzip;
using testing::RandomBytes;

constexpr size_t kPlenty = size_t{1} << 30;

void ExpectError(std::string_view compressed, size_t max_bytes, absl::StatusCode code) {
  EXPECT_EQ(Gunzip(compressed, max_bytes).status().code(), code);
}

TEST(Gunzip, GivesBackWhatWasCompressed) {
  for (size_t size : {0, 1, 63, 64, 65, 1000, 100'000, 3'000'000}) {
    const std::string bytes = RandomBytes(size, 1);
    const absl::StatusOr<std::string> result = Gunzip(Gzip(bytes), kPlenty);
    ASSERT_TRUE(result.ok()) << size << ": " << result.status();
    EXPECT_EQ(*result, bytes);
  }
  const std::string zeros(5'000'000, '\0');
  EXPECT_EQ(*Gunzip(Gzip(zeros), kPlenty), zeros);
}

TEST(Gunzip, JoinsMembers) {
  EXPECT_EQ(
      *Gunzip(Gzip("one ") + Gzip("") + Gzip("two") + Gzip(std::string(99'999, 'x')), kPlenty),
      "one two" + std::string(99'999, 'x'));
  // The size hint at the end is that of the last member only.
  EXPECT_EQ(*Gunzip(Gzip(std::string(99'999, 'x')) + Gzip("y"), kPlenty),
            std::string(99'999, 'x') + "y");
}

TEST(Gunzip, IgnoresPaddingAndNothingElse) {
  EXPECT_EQ(*Gunzip(Gzip("text") + std::string(512, '\0'), kPlenty), "text");
  ExpectError(Gzip("text") + "garbage", kPlenty, absl::StatusCode::kDataLoss);
  ExpectError(Gzip("text") + std::string(5, '\0') + "x", kPlenty, absl::StatusCode::kDataLoss);
  ExpectError(Gzip("text") + "\x1f\x8b\x08", kPlenty, absl::StatusCode::kDataLoss);
}

TEST(Gunzip, EveryTruncationIsDataLoss) {
  const std::string whole = Gzip(RandomBytes(300, 2));
  for (size_t size = 0; size < whole.size(); ++size) {
    ExpectError(std::string_view(whole).substr(0, size), kPlenty, absl::StatusCode::kDataLoss);
  }
}

TEST(Gunzip, EveryFlippedBitOfDataOrTrailerIsDataLoss) {
  const std::string text = "some text that compresses a little, a little, a little";
  const std::string whole = Gzip(text);
  constexpr size_t kHeaderBytes = 10;
  for (size_t bit = kHeaderBytes * 8; bit < whole.size() * 8; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    const absl::StatusOr<std::string> result = Gunzip(damaged, kPlenty);
    // A flip in a code that is never used may change nothing; it must never change the text.
    if (result.ok()) {
      EXPECT_EQ(*result, text) << "bit " << bit;
    } else {
      EXPECT_EQ(result.status().code(), absl::StatusCode::kDataLoss) << "bit " << bit;
    }
  }
}

TEST(Gunzip, LimitIsExact) {
  for (size_t size : {1, 64, 100, 65'536}) {
    const std::string compressed = Gzip(std::string(size, 'x'));
    EXPECT_TRUE(Gunzip(compressed, size).ok()) << size;
    ExpectError(compressed, size - 1, absl::StatusCode::kOutOfRange);
  }
  const std::string members = Gzip("12345") + Gzip("67890");
  EXPECT_TRUE(Gunzip(members, 10).ok());
  ExpectError(members, 9, absl::StatusCode::kOutOfRange);
  EXPECT_TRUE(Gunzip(Gzip(""), 0).ok());
}

TEST(Gunzip, BombIsRefused) {
  const std::string bomb = Gzip(std::string(size_t{200} << 20, '\0'));
  ASSERT_LT(bomb.size(), size_t{1} << 20);
  ExpectError(bomb, size_t{1} << 20, absl::StatusCode::kOutOfRange);
}

TEST(Gunzip, SizeHintIsNotTrusted) {
  std::string lie = Gzip("small");
  for (size_t i = lie.size() - 4; i < lie.size(); ++i) lie[i] = '\xff';
  ExpectError(lie, kPlenty, absl::StatusCode::kDataLoss);
}

TEST(Gunzip, KnowsGzipByItsFirstBytes) {
  EXPECT_TRUE(IsGzip(Gzip("")));
  for (std::string_view bytes : {"", "\x1f", "\x1f\x8b", "\x1f\x8b\x07x", "plain text"}) {
    EXPECT_FALSE(IsGzip(bytes));
  }
}

}  // namespace
}  // namespace resource_server
