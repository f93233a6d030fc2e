#include "examples/resource_server/safe_open.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "tests/examples/resource_server/temp_dir.h"

namespace resource_server {
namespace {

using testing::OrdinaryUserScope;
using testing::TempDir;

// Every test runs with both ways of staying below the root.
class SafeOpen : public ::testing::TestWithParam<Resolver> {
 protected:
  SafeOpen() {
    outside_.Write("secret", "secret");
    served_.Write("a.txt", "hello");
    served_.Write("sub/b.txt", "below");
  }

  RootDirectory Root() { return *RootDirectory::Open(served_.path(), GetParam()); }

  std::string Read(const std::string& path) {
    const absl::StatusOr<OpenFile> file = Root().OpenRegular(path);
    if (!file.ok()) return file.status().ToString();
    std::array<char, 64> bytes;
    const ssize_t got = ::read(file->fd.get(), bytes.data(), bytes.size());
    return std::string(bytes.data(), static_cast<size_t>(got));
  }

  // Opening and identifying must agree.
  void ExpectError(const std::string& path, absl::StatusCode code) {
    EXPECT_EQ(Root().OpenRegular(path).status().code(), code) << path;
    EXPECT_EQ(Root().Identify(path).status().code(), code) << path;
  }

  TempDir outside_;
  TempDir served_;
};

INSTANTIATE_TEST_SUITE_P(Resolvers, SafeOpen,
                         ::testing::Values(Resolver::kOpenat2, Resolver::kWalk),
                         [](const auto& row) {
                           return row.param == Resolver::kWalk ? "Walk" : "Openat2";
                         });

TEST_P(SafeOpen, OpensRegularFiles) {
  EXPECT_EQ(Read("a.txt"), "hello");
  EXPECT_EQ(Read("sub/b.txt"), "below");
}

TEST_P(SafeOpen, AbsentIsNotFound) {
  ExpectError("none", absl::StatusCode::kNotFound);
  ExpectError("none/a.txt", absl::StatusCode::kNotFound);
  ExpectError("a.txt/b", absl::StatusCode::kNotFound);
  ExpectError(std::string(300, 'n'), absl::StatusCode::kNotFound);
}

TEST_P(SafeOpen, LinksOutOfTheRootAreRefused) {
  served_.MakeLink("absolute", outside_.PathOf("secret"));
  served_.MakeLink("absolute_dir", outside_.path());
  const std::string name = std::filesystem::path(outside_.path()).filename();
  served_.MakeLink("relative", "../" + name + "/secret");
  served_.MakeLink("sub/relative_dir", "../../" + name);
  served_.MakeLink("nowhere", "/does/not/exist");
  served_.MakeLink("loop", "loop");
  for (const std::string path : {"absolute", "absolute_dir/secret", "relative",
                                 "sub/relative_dir/secret", "nowhere", "loop"}) {
    ExpectError(path, absl::StatusCode::kPermissionDenied);
  }
}

TEST_P(SafeOpen, ParentSegmentsAreRefusedHereToo) {
  const std::string name = std::filesystem::path(outside_.path()).filename();
  ExpectError("../" + name + "/secret", absl::StatusCode::kPermissionDenied);
  ExpectError("sub/../../" + name + "/secret", absl::StatusCode::kPermissionDenied);
  ExpectError(outside_.PathOf("secret"), absl::StatusCode::kPermissionDenied);
}

TEST_P(SafeOpen, LinksThatStayBelowAreFollowedWhereTheKernelGuardsThem) {
  served_.MakeLink("inside", "sub/b.txt");
  served_.MakeLink("sub/up", "../a.txt");
  if (GetParam() == Resolver::kOpenat2) {
    EXPECT_EQ(Read("inside"), "below");
    EXPECT_EQ(Read("sub/up"), "hello");
    EXPECT_EQ(*Root().Identify("inside"), *Root().Identify("sub/b.txt"));
  } else {
    ExpectError("inside", absl::StatusCode::kPermissionDenied);
    ExpectError("sub/up", absl::StatusCode::kPermissionDenied);
  }
}

TEST_P(SafeOpen, WhatIsNoRegularFileIsNotFoundAndDoesNotBlock) {
  served_.MakeFifo("fifo");
  served_.MakeSocket("socket");
  ExpectError("sub", absl::StatusCode::kNotFound);
  ExpectError(".", absl::StatusCode::kNotFound);
  ExpectError("fifo", absl::StatusCode::kNotFound);
  ExpectError("socket", absl::StatusCode::kNotFound);
  const absl::StatusOr<RootDirectory> dev = RootDirectory::Open("/dev", GetParam());
  ASSERT_TRUE(dev.ok());
  EXPECT_EQ(dev->OpenRegular("zero").status().code(), absl::StatusCode::kNotFound);
}

TEST_P(SafeOpen, UnreadableIsRefused) {
  served_.Write("private", "mine");
  served_.Write("closed/inner", "mine");
  served_.MakeUnreadable("private");
  const RootDirectory root = Root();
  const OrdinaryUserScope ordinary;
  EXPECT_EQ(root.OpenRegular("private").status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(root.Identify("private").ok()) << "needs no permission to read";
}

TEST_P(SafeOpen, DirectoriesThatMayNotBeEnteredAreRefused) {
  served_.Write("closed/inner", "mine");
  served_.MakeUnreadable("closed");
  const RootDirectory root = Root();
  const OrdinaryUserScope ordinary;
  EXPECT_EQ(root.OpenRegular("closed/inner").status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_P(SafeOpen, IdentityTellsStatesApart) {
  const FileIdentity first = *Root().Identify("a.txt");
  EXPECT_EQ(first, Root().OpenRegular("a.txt")->identity);
  EXPECT_EQ(first.size, 5);
  served_.Write("a.txt", "longer than before");
  EXPECT_NE(*Root().Identify("a.txt"), first);
  const FileIdentity second = *Root().Identify("a.txt");
  served_.Write("new", "longer than before");
  std::filesystem::rename(served_.PathOf("new"), served_.PathOf("a.txt"));
  EXPECT_NE(*Root().Identify("a.txt"), second);
}

// Invariant: while one thread swaps a directory for a link to the outside and back, no open ever
// reads the file out there.
TEST_P(SafeOpen, SwappingLinksNeverLeadOut) {
  constexpr int kOpens = 3000;
  outside_.Write("b.txt", "secret");
  served_.MakeLink("evil", outside_.path());
  served_.Write("real/b.txt", "below");
  std::atomic<bool> done = false;
  std::thread swapper([&] {
    const std::string real = served_.PathOf("real");
    const std::string evil = served_.PathOf("evil");
    while (!done.load()) {
      EXPECT_EQ(::renameat2(AT_FDCWD, real.c_str(), AT_FDCWD, evil.c_str(), RENAME_EXCHANGE), 0);
    }
  });
  const RootDirectory root = Root();
  int opened = 0;
  for (int i = 0; i < kOpens; ++i) {
    const absl::StatusOr<OpenFile> file = root.OpenRegular("real/b.txt");
    if (!file.ok()) continue;
    ++opened;
    std::array<char, 5> bytes;
    EXPECT_EQ(::read(file->fd.get(), bytes.data(), bytes.size()), 5);
    EXPECT_EQ(std::string_view(bytes.data(), bytes.size()), "below");
  }
  done = true;
  swapper.join();
  EXPECT_GT(opened, 0);
}

TEST(RootDirectory, WantsADirectory) {
  const TempDir dir;
  dir.Write("file", "");
  EXPECT_FALSE(RootDirectory::Open(dir.PathOf("file")).ok());
  EXPECT_FALSE(RootDirectory::Open(dir.PathOf("none")).ok());
  EXPECT_NE(RootDirectory::Open(dir.path())->resolver(), Resolver::kBest);
}

}  // namespace
}  // namespace resource_server
