#include "examples/resource_server/options.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"

namespace resource_server {
namespace {

void ExpectError(const std::vector<std::string>& args, std::string_view message) {
  const absl::StatusOr<ServerOptions> options = ParseServerOptions(args);
  ASSERT_FALSE(options.ok()) << args.back();
  EXPECT_TRUE(absl::StrContains(options.status().message(), message)) << options.status();
}

TEST(Options, ReadsEveryFlag) {
  const absl::StatusOr<ServerOptions> options = ParseServerOptions(
      {"--root=/r", "--listen=0.0.0.0:0", "--threads=3", "--load-threads=5", "--shards=8",
       "--max-file-bytes=1000", "--max-request-bytes=512", "--max-connections=7",
       "--hold-last=false", "--revalidate=0s", "--load-timeout=3s", "--header-timeout=1.5s",
       "--idle-timeout=2m", "--write-timeout=250ms", "--drain-timeout=1h"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->root, "/r");
  EXPECT_EQ(options->listen_address, "0.0.0.0");
  EXPECT_EQ(options->listen_port, 0);
  EXPECT_EQ(options->threads, 3);
  EXPECT_EQ(options->load_threads, 5);
  EXPECT_EQ(options->shards, 8);
  EXPECT_EQ(options->max_file_bytes, 1000);
  EXPECT_EQ(options->max_request_bytes, 512);
  EXPECT_EQ(options->max_connections, 7);
  EXPECT_FALSE(options->hold_last);
  EXPECT_EQ(options->revalidate, std::chrono::seconds(0));
  EXPECT_EQ(options->header_timeout, std::chrono::milliseconds(1500));
  EXPECT_EQ(options->load_timeout, std::chrono::seconds(3));
  EXPECT_EQ(options->idle_timeout, std::chrono::minutes(2));
  EXPECT_EQ(options->write_timeout, std::chrono::milliseconds(250));
  EXPECT_EQ(options->drain_timeout, std::chrono::hours(1));
  EXPECT_EQ(ParseServerOptions({"--root=r", "--listen=[::1]:80"})->listen_address, "::1");
}

TEST(Options, NamesWhatIsWrong) {
  ExpectError({}, "--root=DIRECTORY is required");
  ExpectError({"--root=/r", "--nonsense=1"}, "no flag --nonsense");
  ExpectError({"--root=/r", "--threads"}, "not --name=value");
  ExpectError({"--root=/r", "serve"}, "'serve' is not --name=value");
  ExpectError({"--root=/r", "-threads=1"}, "not --name=value");
  for (const char* bad :
       {"", "x", "-1", "+1", " 1", "1 ", "0x1", "1e3", "257", "99999999999999999999"}) {
    ExpectError({"--root=/r", std::string("--threads=") + bad}, "number from 0 to 256");
  }
  ExpectError({"--root=/r", "--load-threads=0"}, "number from 1");
  for (const char* bad : {"", "5", "-1s", "0s", "inf", "25h", "s"}) {
    ExpectError({"--root=/r", std::string("--idle-timeout=") + bad}, "duration from 1ms to 24h");
  }
  for (const char* bad : {"", "80", "localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                          "::1:80", "[127.0.0.1]:80", ":80"}) {
    ExpectError({"--root=/r", std::string("--listen=") + bad}, "must be ADDRESS:PORT");
  }
  ExpectError({"--root=/r", "--hold-last=yes"}, "must be true or false");
}

TEST(Options, HelpNamesEveryFlagAndItsDefault) {
  const std::string help = ServerHelp();
  for (const char* text :
       {"--listen=", "--root=", "--threads=", "--load-threads=", "--shards=", "--max-file-bytes=",
        "--max-request-bytes=", "--max-connections=", "--hold-last=", "--revalidate=",
        "--header-timeout=", "--idle-timeout=", "--load-timeout=", "--write-timeout=",
        "--drain-timeout=", "(60s)", "(64 MiB)"}) {
    EXPECT_TRUE(absl::StrContains(help, text)) << text;
  }
}

}  // namespace
}  // namespace resource_server
