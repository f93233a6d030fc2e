#include "examples/resource_server/target_path.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "examples/resource_server/utf8.h"

namespace resource_server {
namespace {

void ExpectFile(std::string_view target, std::string_view path) {
  const absl::StatusOr<Target> parsed = ParseTarget(target);
  ASSERT_TRUE(parsed.ok()) << target << ": " << parsed.status();
  EXPECT_EQ(parsed->endpoint, Endpoint::kFile) << target;
  EXPECT_EQ(parsed->path, path) << target;
}

void ExpectError(std::string_view target, absl::StatusCode code) {
  const absl::StatusOr<Target> parsed = ParseTarget(target);
  ASSERT_FALSE(parsed.ok()) << target << " became " << parsed->path;
  EXPECT_EQ(parsed.status().code(), code) << target << ": " << parsed.status();
}

TEST(TargetPath, FindsEndpoints) {
  EXPECT_EQ(ParseTarget("/metrics")->endpoint, Endpoint::kMetrics);
  EXPECT_EQ(ParseTarget("/healthz?verbose")->endpoint, Endpoint::kHealth);
  EXPECT_EQ(ParseTarget("http://127.0.0.1:80/healthz")->endpoint, Endpoint::kHealth);
  ExpectFile("/files/a", "a");
  ExpectFile("HTTP://host/files/a", "a");
  ExpectFile("/%66iles/a", "a");
  for (std::string_view target :
       {"/", "/file/a", "/Files/a", "/metrics/x", "/healthzz", "http://h"}) {
    ExpectError(target, absl::StatusCode::kNotFound);
  }
}

TEST(TargetPath, GivesEachFileOneSpelling) {
  for (std::string_view target :
       {"/files/a/b.txt", "/files//a///b.txt", "/files/./a/./b.txt", "//files/a/b.txt",
        "/files/a/%2e/b.txt", "/files/%61/b%2Etxt", "/files/a/b.txt?", "/files/a/b.txt?x=/../y"}) {
    ExpectFile(target, "a/b.txt");
  }
}

TEST(TargetPath, DecodesOnce) {
  ExpectFile("/files/a%20b", "a b");
  ExpectFile("/files/a+b", "a+b");
  ExpectFile("/files/100%25", "100%");
  ExpectFile("/files/%252e%252e/x", "%2e%2e/x");
  ExpectFile("/files/%c3%a9", "\xc3\xa9");
  ExpectFile("/files/...", "...");
  ExpectFile("/files/..a", "..a");
  ExpectFile("/files/a..", "a..");
}

TEST(TargetPath, RefusesEverySpellingOfTheParentDirectory) {
  for (std::string_view dots : {"..", "%2e%2e", "%2E%2e", ".%2e", "%2e.", "%2E."}) {
    for (std::string_view format : {"/files/$0/x", "/files/a/$0/b", "/files/a/$0", "/$0/files/a",
                                    "/$0/etc/passwd", "/files/$0", "/$0"}) {
      std::string target(format);
      target.replace(target.find("$0"), 2, dots);
      ExpectError(target, absl::StatusCode::kInvalidArgument);
    }
  }
}

TEST(TargetPath, RefusesWhatHidesSeparatorsOrEndsNames) {
  for (std::string_view target :
       {"/files/a%2fb", "/files/a%2Fb", "/files/..%2f..%2fetc", "/files%2fa", "/files/a\\b",
        "/files/..\\..\\x", "/files/a%5cb", "/files/%5C..", "/files/a%00", "/files/a%00.txt",
        "/files/%0a", "/files/a%0d%0aX-Y:1", "/files/%7f", "/files/%1b[2J"}) {
    ExpectError(target, absl::StatusCode::kInvalidArgument);
  }
}

TEST(TargetPath, RefusesBytesThatAreNotUtf8) {
  for (std::string_view bytes :
       {"%c0%ae%c0%ae", "%c0%af", "%e0%80%ae", "%e0%80%af", "%f0%80%80%ae", "%c1%9c", "%80", "%bf",
        "%ff", "%fe", "%c3", "%e2%82", "%ed%a0%80", "%f4%90%80%80", "%f8%88%80%80%80", "%c3%28"}) {
    ExpectError(absl::StrCat("/files/", bytes), absl::StatusCode::kInvalidArgument);
  }
}

TEST(TargetPath, RefusesMalformedTargets) {
  for (std::string_view target :
       {"", "*", "files/a", "host:80", "ftp://h/files/a", "/files/%", "/files/%2", "/files/%zz",
        "/files/%2g", "/files/a%", "/files/a#b", "/files/\xc3\xa9"}) {
    ExpectError(target, absl::StatusCode::kInvalidArgument);
  }
}

TEST(TargetPath, DirectoriesAreNotFound) {
  for (std::string_view target : {"/files", "/files/", "/files//", "/files/a/", "/files/a/.",
                                  "/files/.", "/files/a/%2e", "/metrics/"}) {
    ExpectError(target, absl::StatusCode::kNotFound);
  }
}

// Oracle: whatever the target, an accepted path is a sequence of plain names, and spelling it out
// again, escaped, gives the same path.
TEST(TargetPath, AcceptedPathsAreCanonical) {
  constexpr unsigned kSeed = 20240607;
  constexpr int kTargets = 200'000;
  const std::string_view pieces[] = {"/",   ".",      "..", "%2e", "%2f",   "%25",
                                     "%",   "a",      "\\", "%5c", "%00",   "%c0",
                                     "%ae", "%c3%a9", "?",  "#",   "files", "b"};
  std::mt19937 random(kSeed);
  int accepted = 0;
  for (int i = 0; i < kTargets; ++i) {
    std::string target = "/files/";
    for (unsigned k = 0, n = random() % 8; k < n; ++k) {
      absl::StrAppend(&target, pieces[random() % std::size(pieces)]);
    }
    const absl::StatusOr<Target> parsed = ParseTarget(target);
    if (!parsed.ok() || parsed->endpoint != Endpoint::kFile) continue;
    ++accepted;
    std::string spelled = "/files/";
    for (unsigned char c : parsed->path) {
      absl::StrAppend(&spelled, c == '/' ? "/" : absl::StrCat("%", absl::Hex(c, absl::kZeroPad2)));
    }
    ASSERT_TRUE(IsValidUtf8(parsed->path)) << target;
    for (std::string_view name : absl::StrSplit(parsed->path, '/')) {
      ASSERT_TRUE(!name.empty() && name != "." && name != "..") << target;
      ASSERT_EQ(name.find_first_of(std::string_view("\0\\", 2)), name.npos) << target;
    }
    const absl::StatusOr<Target> again = ParseTarget(spelled);
    ASSERT_TRUE(again.ok()) << "seed " << kSeed << ": " << target;
    ASSERT_EQ(again->path, parsed->path) << "seed " << kSeed << ": " << target;
  }
  EXPECT_GT(accepted, kTargets / 50) << "the generator makes hardly anything acceptable";
}

TEST(Utf8, KnowsTheBoundsOfEachLength) {
  for (std::string_view good :
       {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "a\xc3\xa9z"}) {
    EXPECT_TRUE(IsValidUtf8(good)) << testing::PrintToString(good);
  }
  for (std::string_view bad :
       {"\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xc2", "\xe1\x80", "\xf1\x80\x80", "\xc2\x41", "\xe1\x80\x41",
        "\xf1\x80\x80\x41"}) {
    EXPECT_FALSE(IsValidUtf8(bad)) << testing::PrintToString(bad);
  }
}

}  // namespace
}  // namespace resource_server
