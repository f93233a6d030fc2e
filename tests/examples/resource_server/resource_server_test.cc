// The programs as their users meet them: exit statuses, what they print, and signals.

#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "examples/resource_server/demo/child_process.h"
#include "tests/examples/resource_server/raw_client.h"
#include "tests/examples/resource_server/temp_dir.h"

namespace resource_server {
namespace {

using demo::ChildProcess;
using testing::RawClient;
using testing::TempDir;

constexpr absl::Duration kPatience = absl::Seconds(30);

// Where the build has put the programs, as seen from where it runs tests.
constexpr char kServer[] = "examples/resource_server/resource_server";
constexpr char kDemoClient[] = "examples/resource_server/demo_client";

std::unique_ptr<ChildProcess> Start(std::vector<std::string> command) {
  return *ChildProcess::Start(command);
}

void ExpectUsageError(const std::vector<std::string>& command, std::string_view message) {
  const std::unique_ptr<ChildProcess> child = Start(command);
  EXPECT_EQ(*child->AwaitExit(kPatience), 2) << command.back();
  const std::vector<std::string> lines = child->AllLines();
  ASSERT_FALSE(lines.empty()) << command.back();
  EXPECT_TRUE(absl::StrContains(lines.front(), message)) << lines.front();
}

uint16_t PortFrom(const std::string& address) {
  unsigned port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port)) << address;
  return static_cast<uint16_t>(port);
}

class ResourceServerProgram : public ::testing::Test {
 protected:
  ResourceServerProgram() {
    files_.Write("f", "content");
    server_ = Start({kServer, "--listen=127.0.0.1:0", absl::StrCat("--root=", files_.path()),
                     "--idle-timeout=1h", "--drain-timeout=1h"});
    port_ = PortFrom(*server_->AwaitLine("listening on 127.0.0.1:", kPatience));
  }

  TempDir files_;
  std::unique_ptr<ChildProcess> server_;
  uint16_t port_;
};

TEST_F(ResourceServerProgram, StopsOnSigterm) {
  RawClient idle(port_);
  EXPECT_EQ(idle.Get("/files/f").body, "content");
  server_->Signal(SIGTERM);
  EXPECT_TRUE(idle.ReadsEnd());
  EXPECT_EQ(*server_->AwaitExit(kPatience), 0);
}

TEST_F(ResourceServerProgram, StopsOnSigint) {
  server_->Signal(SIGINT);
  EXPECT_EQ(*server_->AwaitExit(kPatience), 0);
}

TEST_F(ResourceServerProgram, StopsAtOnceOnTheSecondSignal) {
  RawClient half(port_);
  EXPECT_EQ(half.Get("/files/f").body, "content");
  half.Send("GET /files/f HT");  // would keep it waiting
  server_->Signal(SIGTERM);
  ASSERT_TRUE(server_->AwaitLine("level=info msg=\"stopping\"", kPatience).ok());
  server_->Signal(SIGTERM);
  EXPECT_EQ(*server_->AwaitExit(kPatience), 1) << "it did not finish";
}

TEST(ResourceServerProgramUsage, IsChecked) {
  const TempDir files;
  const std::string root = absl::StrCat("--root=", files.path());
  ExpectUsageError({kServer}, "--root=DIRECTORY is required");
  ExpectUsageError({kServer, root, "--threads=many"}, "--threads=many: must be a number");
  ExpectUsageError({kServer, root, "--shards=3"}, "shards");
  ExpectUsageError({kServer, "--root=/does/not/exist"}, "--root=/does/not/exist: ");
  ExpectUsageError({kServer, root, "--verbose=1"}, "no flag --verbose");
  ExpectUsageError({kDemoClient}, "--server=PATH is required");
  ExpectUsageError({kDemoClient, "--server=x", "--clients=0"}, "--clients=0: must be a number");
}

TEST_F(ResourceServerProgram, SaysWhenItsPortIsTaken) {
  const auto second = Start({kServer, absl::StrCat("--listen=127.0.0.1:", port_),
                             absl::StrCat("--root=", files_.path())});
  EXPECT_EQ(*second->AwaitExit(kPatience), 1);
  EXPECT_TRUE(absl::StrContains(second->AllLines().front(), "cannot listen"));
}

TEST(DemoClientProgram, VerifiesAServer) {
  const TempDir files;
  for (int i = 0; i < 50; ++i) {
    files.Write(absl::StrCat("dir/file ", i),
                testing::RandomBytes(static_cast<size_t>(i * 997), i));
    files.Write(absl::StrCat(i, ".txt.gz"), testing::Gzip(std::string(i * 1000, 'x')));
  }
  const auto client = Start({kDemoClient, absl::StrCat("--server=", kServer), "--seconds=1",
                             "--clients=16", "--seed=7", absl::StrCat("--root=", files.path())});
  EXPECT_EQ(*client->AwaitExit(kPatience), 0);
}

TEST(DemoClientProgram, FailsWithoutAServerOrFiles) {
  const TempDir files;
  const std::string root = absl::StrCat("--root=", files.path());
  EXPECT_EQ(*Start({kDemoClient, absl::StrCat("--server=", kServer), root})->AwaitExit(kPatience),
            1);
  EXPECT_EQ(*Start({kDemoClient, absl::StrCat("--server=", kServer), "--root=/does/not/exist"})
                 ->AwaitExit(kPatience),
            1);
  files.Write("f", "content");
  EXPECT_EQ(*Start({kDemoClient, "--server=/does/not/exist", root})->AwaitExit(kPatience), 1);
  EXPECT_EQ(*Start({kDemoClient, "--server=/bin/true", root})->AwaitExit(kPatience), 1);
}

}  // namespace
}  // namespace resource_server
