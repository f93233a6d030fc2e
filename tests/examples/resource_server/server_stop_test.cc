// How the server ends: what is in flight is answered, what is idle is closed, nothing new begins.

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "examples/resource_server/server.h"
#include "tests/examples/resource_server/raw_client.h"
#include "tests/examples/resource_server/test_server.h"

namespace resource_server {
namespace {

using testing::AwaitCondition;
using testing::CanConnect;
using testing::PatientOptions;
using testing::RandomBytes;
using testing::RawClient;
using testing::RawResponse;
using testing::Request;
using testing::TestServer;

TEST(ServerStop, WithoutConnectionsIsImmediate) {
  TestServer server;
  server.server().BeginStop();
  EXPECT_TRUE(server.server().Wait());
  EXPECT_TRUE(server.server().Wait()) << "may be asked again";
  EXPECT_FALSE(CanConnect(server.port()));
}

TEST(ServerStop, WaitsForALoadAndClosesTheIdle) {
  TestServer server;
  server.files().Write("slow", "slow");
  server.gate().Shut("slow");
  RawClient idle(server.port());
  EXPECT_EQ(idle.Get("/healthz").status, 200);
  RawClient waiting(server.port());
  waiting.Send(Request("GET", "/files/slow"));
  server.gate().AwaitLoad("slow");

  server.server().BeginStop();
  EXPECT_TRUE(idle.ReadsEnd());
  EXPECT_FALSE(CanConnect(server.port()));
  server.gate().Open("slow");
  const RawResponse response = waiting.Read();
  EXPECT_EQ(response.body, "slow");
  EXPECT_EQ(response.Field("connection"), "close");
  EXPECT_TRUE(waiting.ReadsEnd());
  waiting.ShutDownSend();
  EXPECT_TRUE(server.server().Wait());
}

TEST(ServerStop, FinishesAResponseBeingWritten) {
  TestServer server;
  const std::string bytes = RandomBytes(size_t{32} << 20, 3);
  server.files().Write("large", bytes);
  RawClient slow(server.port(), /*receive_buffer_bytes=*/4096);
  slow.Send(Request("GET", "/files/large"));
  AwaitCondition("its response is begun",
                 [&] { return server.Metric("weak_value_cache_live_entries") == 1; });
  server.server().BeginStop();
  AwaitCondition("the server no longer listens", [&] { return !CanConnect(server.port()); });
  EXPECT_TRUE(slow.Read().body == bytes);
  EXPECT_TRUE(slow.ReadsEnd());
  slow.ShutDownSend();
  EXPECT_TRUE(server.server().Wait());
}

TEST(ServerStop, AnswersRequestsThatHaveBegunToArrive) {
  TestServer server;
  RawClient half(server.port());
  RawClient pipelining(server.port());
  EXPECT_EQ(half.Get("/healthz").status, 200);
  server.files().Write("slow", "slow");
  server.gate().Shut("slow");
  pipelining.Send(Request("GET", "/files/slow") + Request("GET", "/healthz"));
  server.gate().AwaitLoad("slow");
  half.Send("GET /healthz HT");

  server.server().BeginStop();
  AwaitCondition("the server no longer listens", [&] { return !CanConnect(server.port()); });
  half.Send("TP/1.1\r\nHost: h\r\n\r\n");
  const RawResponse response = half.Read();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.Field("connection"), "close");
  server.gate().Open("slow");
  EXPECT_EQ(pipelining.Read().body, "slow");
  half.ShutDownSend();
  pipelining.ShutDownSend();
  EXPECT_TRUE(server.server().Wait());
}

TEST(ServerStop, CutsOffWhatTakesTooLong) {
  ServerOptions options = PatientOptions();
  options.drain_timeout = std::chrono::milliseconds(50);
  TestServer server(options);
  server.files().Write("slow", "slow");
  server.gate().Shut("slow");
  RawClient waiting(server.port());
  waiting.Send(Request("GET", "/files/slow"));
  server.gate().AwaitLoad("slow");
  server.server().BeginStop();
  EXPECT_FALSE(server.server().Wait());
  server.gate().Open("slow");
  server.Destroy();
  EXPECT_TRUE(waiting.ReadsEnd());
}

TEST(ServerStop, DestructionCutsOffEverything) {
  TestServer server;
  server.files().Write("slow", "slow");
  server.files().Write("large", RandomBytes(size_t{32} << 20, 3));
  server.gate().Shut("slow");
  RawClient idle(server.port());
  EXPECT_EQ(idle.Get("/healthz").status, 200);
  RawClient waiting(server.port());
  waiting.Send(Request("GET", "/files/slow"));
  RawClient slow(server.port(), /*receive_buffer_bytes=*/4096);
  slow.Send(Request("GET", "/files/large"));
  server.gate().AwaitLoad("slow");
  AwaitCondition("both are under way",
                 [&] { return server.server().metrics().requests_in_flight.value() == 2; });
  server.gate().Open("slow");
  server.Destroy();
}

}  // namespace
}  // namespace resource_server
