// What the cache is for: requests share resources and loads, and none waits for what is not its
// own.

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "examples/resource_server/server.h"
#include "tests/examples/resource_server/raw_client.h"
#include "tests/examples/resource_server/test_server.h"

namespace resource_server {
namespace {

using testing::AwaitCondition;
using testing::PatientOptions;
using testing::RandomBytes;
using testing::RawClient;
using testing::RawResponse;
using testing::Request;
using testing::TestServer;

// Revalidation off, or on at every request.
ServerOptions Revalidating(std::chrono::milliseconds after) {
  ServerOptions options = PatientOptions();
  options.revalidate = after;
  return options;
}

constexpr std::chrono::hours kNever{24};

TEST(Sharing, OneSlowFileDelaysNobodyElse) {
  ServerOptions options = PatientOptions();
  options.threads = 1;  // if it blocked, nobody would be served
  options.load_threads = 2;
  TestServer server(options);
  server.files().Write("slow", "slow");
  server.gate().Shut("slow");
  RawClient waiting(server.port());
  waiting.Send(Request("GET", "/files/slow"));
  server.gate().AwaitLoad("slow");
  RawClient other(server.port());
  for (int i = 0; i < 20; ++i) {
    server.files().Write(absl::StrCat("fast", i), absl::StrCat("fast", i));
    EXPECT_EQ(other.Get(absl::StrCat("/files/fast", i)).body, absl::StrCat("fast", i));
  }
  server.gate().Open("slow");
  EXPECT_EQ(waiting.Read().body, "slow");
}

TEST(Sharing, WhoWaitsTooLongForAFileIsTold) {
  ServerOptions options = PatientOptions();
  options.load_timeout = std::chrono::milliseconds(50);
  TestServer server(options);
  server.files().Write("slow", "slow");
  server.gate().Shut("slow");
  RawClient first(server.port());
  first.Send(Request("GET", "/files/slow"));
  server.gate().AwaitLoad("slow");
  RawClient second(server.port());
  second.Send(Request("GET", "/files/slow"));
  for (RawClient* client : {&first, &second}) {
    const RawResponse response = client->Read();
    EXPECT_EQ(response.status, 504);
    EXPECT_EQ(response.Field("connection"), "close");
    EXPECT_TRUE(client->ReadsEnd());
  }
  server.gate().Open("slow");
  // The load went on without them; what it came to is of use to others or dies.
  AwaitCondition("a response in time",
                 [&] { return RawClient(server.port()).Get("/files/slow").body == "slow"; });
}

// Invariant: requests that come while a file is being loaded cause no further load, and get it.
TEST(Sharing, ManyRequestsForOneFileLoadItOnce) {
  constexpr size_t kClients = 32;
  TestServer server;
  const std::string bytes = RandomBytes(300'000, 7);
  server.files().Write("f", bytes);
  server.gate().Shut("f");
  std::vector<std::unique_ptr<RawClient>> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.port()));
    clients.back()->Send(Request("GET", "/files/f"));
  }
  AwaitCondition("all but one have joined", [&] {
    return server.Metric("weak_value_cache_loads_shared_total") == kClients - 1;
  });
  server.gate().Open("f");
  for (const auto& client : clients) EXPECT_TRUE(client->Read().body == bytes);
  EXPECT_EQ(server.gate().LoadsOf("f"), 1);
  EXPECT_EQ(server.Metric("weak_value_cache_live_entries"), 1);
}

TEST(Sharing, ManyRequestsForAMissingFileLookOnce) {
  constexpr size_t kClients = 16;
  TestServer server;
  server.gate().Shut("none");
  std::vector<std::unique_ptr<RawClient>> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.port()));
    clients.back()->Send(Request("GET", "/files/none"));
  }
  AwaitCondition("all but one have joined", [&] {
    return server.Metric("weak_value_cache_loads_shared_total") == kClients - 1;
  });
  server.gate().Open("none");
  for (const auto& client : clients) EXPECT_EQ(client->Read().status, 404);
  EXPECT_EQ(server.gate().LoadsOf("none"), 1);
  // A failure is not remembered.
  server.files().Write("none", "now there is one");
  EXPECT_EQ(RawClient(server.port()).Get("/files/none").body, "now there is one");
}

TEST(Sharing, AnIdleConnectionKeepsItsLastFileInUse) {
  TestServer server(Revalidating(kNever));
  server.files().Write("f", "f");
  server.files().Write("g", "g");
  {
    RawClient holder(server.port());
    holder.Get("/files/f");
    for (int i = 0; i < 3; ++i) EXPECT_EQ(RawClient(server.port()).Get("/files/f").body, "f");
    EXPECT_EQ(server.gate().LoadsOf("f"), 1);
    EXPECT_EQ(server.Metric("weak_value_cache_hits_total"), 3);
    holder.Get("/files/g");
    AwaitCondition("only g is held",
                   [&] { return server.Metric("weak_value_cache_live_entries") == 1; });
  }
  AwaitCondition("nothing is held",
                 [&] { return server.Metric("weak_value_cache_live_entries") == 0; });
}

TEST(Sharing, WithoutHoldingAFileLivesAsLongAsItsResponse) {
  ServerOptions options = Revalidating(kNever);
  options.hold_last = false;
  TestServer server(options);
  server.files().Write("f", "f");
  RawClient client(server.port());
  client.Get("/files/f");
  AwaitCondition("it is let go",
                 [&] { return server.Metric("weak_value_cache_live_entries") == 0; });
  client.Get("/files/f");
  EXPECT_EQ(server.gate().LoadsOf("f"), 2);
}

TEST(Sharing, AChangedFileIsNoticed) {
  TestServer server(Revalidating(std::chrono::milliseconds(0)));
  RawClient holder(server.port());
  RawClient client(server.port());
  // Same size, and within one tick of the file system's clock: only the content differs.
  for (int i = 100; i < 200; ++i) {
    server.files().Write("f", absl::StrCat(i));
    ASSERT_EQ(holder.Get("/files/f").body, absl::StrCat(i));
    ASSERT_EQ(client.Get("/files/f").body, absl::StrCat(i));
  }
  server.files().Remove("f");
  EXPECT_EQ(client.Get("/files/f").status, 404);
}

TEST(Sharing, AnUnchangedFileIsLookedAtNotLoaded) {
  TestServer server(Revalidating(std::chrono::milliseconds(0)));
  server.files().Write("f", "f");
  RawClient holder(server.port());
  // Until the file's times are old enough to be believed, each look is followed by a load.
  AwaitCondition("a look without a load", [&] {
    const int loads = server.gate().LoadsOf("f");
    EXPECT_EQ(holder.Get("/files/f").body, "f");
    return server.gate().LoadsOf("f") == loads;
  });
  const int loads = server.gate().LoadsOf("f");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(holder.Get("/files/f").body, "f");
  EXPECT_EQ(server.gate().LoadsOf("f"), loads);
}

TEST(Sharing, AChangeIsNoticedOnlyWhenItIsTimeToLook) {
  TestServer server(Revalidating(kNever));
  server.files().Write("f", "before");
  RawClient holder(server.port());
  EXPECT_EQ(holder.Get("/files/f").body, "before");
  server.files().Write("f", "after");
  EXPECT_EQ(holder.Get("/files/f").body, "before");
  EXPECT_EQ(server.Metric("resource_server_stale_resources_total"), 0);
}

// A response under way when its file changes is finished with the old content, all of it, while
// others get the new.
TEST(Sharing, AChangeDoesNotTearAResponseUnderWay) {
  TestServer server(Revalidating(std::chrono::milliseconds(0)));
  const std::string before = RandomBytes(size_t{32} << 20, 1);
  const std::string after = RandomBytes(1000, 2);
  server.files().Write("f", before);
  RawClient slow(server.port(), /*receive_buffer_bytes=*/4096);
  slow.Send(Request("GET", "/files/f"));
  AwaitCondition("its response is begun",
                 [&] { return server.Metric("weak_value_cache_live_entries") == 1; });
  server.files().Write("f", after);
  EXPECT_TRUE(RawClient(server.port()).Get("/files/f").body == after);
  EXPECT_TRUE(slow.Read().body == before);
}

TEST(Sharing, MoreConnectionsThanAllowedWait) {
  ServerOptions options = PatientOptions();
  options.max_connections = 2;
  TestServer server(options);
  const Metrics& metrics = server.server().metrics();
  auto first = std::make_unique<RawClient>(server.port());
  RawClient second(server.port());
  EXPECT_EQ(first->Get("/healthz").status, 200);
  EXPECT_EQ(second.Get("/healthz").status, 200);
  RawClient third(server.port());
  third.Send(Request("GET", "/healthz"));
  EXPECT_EQ(second.Get("/healthz").status, 200);
  EXPECT_EQ(metrics.connections_accepted.value(), 2);
  first.reset();
  EXPECT_EQ(third.Read().status, 200);
  EXPECT_EQ(metrics.connections_accepted.value(), 3);
  EXPECT_EQ(metrics.connections.value(), 2);
}

}  // namespace
}  // namespace resource_server
