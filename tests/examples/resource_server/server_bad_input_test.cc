// What clients can do wrong: each gets its status and one line in the log, and nobody else notices.

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/resource_server/server.h"
#include "tests/examples/resource_server/raw_client.h"
#include "tests/examples/resource_server/temp_dir.h"
#include "tests/examples/resource_server/test_server.h"

namespace resource_server {
namespace {

using testing::AwaitCondition;
using testing::Gzip;
using testing::PatientOptions;
using testing::RandomBytes;
using testing::RawClient;
using testing::RawResponse;
using testing::Request;
using testing::TempDir;
using testing::TestServer;

// Sends `request`, and checks the status, that the log has exactly one line more, and that another
// client is served as ever.
void ExpectRefused(TestServer& server, std::string_view request, int status) {
  const size_t lines_before = server.LogLines().size();
  RawClient bystander(server.port());
  RawClient client(server.port());
  client.Send(request);
  const RawResponse response = client.Read();
  const std::string shown(request.substr(0, 80));
  EXPECT_EQ(response.status, status) << shown;
  const std::vector<std::string> lines = server.LogLines();
  ASSERT_EQ(lines.size(), lines_before + 1) << shown;
  EXPECT_TRUE(absl::StrContains(lines.back(), absl::StrCat(" status=", status, " ")))
      << lines.back();
  EXPECT_EQ(lines.back().find('\n'), lines.back().size() - 1) << lines.back();
  // The body tells nothing but the status.
  EXPECT_TRUE(absl::StartsWith(response.body, absl::StrCat(status, " "))) << response.body;
  EXPECT_LT(response.body.size(), 50) << response.body;
  EXPECT_EQ(bystander.Get("/files/fine").body, "fine") << shown;
}

class BadInput : public ::testing::Test {
 protected:
  static ServerOptions Options() {
    ServerOptions options = PatientOptions();
    options.max_request_bytes = 4096;
    options.max_file_bytes = 100'000;
    return options;
  }

  BadInput() : server_(Options()) { server_.files().Write("fine", "fine"); }

  TestServer server_;
};

TEST_F(BadInput, Targets) {
  for (std::string_view target :
       {"/files/../fine", "/files/%2e%2e/fine", "/files/.%2e/fine", "/files/%2e./fine",
        "/files/a%2ffine", "/files/..%2f..%2fetc/passwd", "/files/a\\fine", "/files/%5cfine",
        "/files/fine%00", "/files/fine%00.txt", "/files/%c0%ae%c0%ae/fine", "/files/%ff",
        "/files/%", "/files/%zz", "/files/a%0d%0aX:%20y", "*", "fine", "../fine"}) {
    ExpectRefused(server_, Request("GET", target), 400);
  }
  for (std::string_view target : {"/", "/none", "/files/none", "/files/", "/files/fine/",
                                  "/files/%252e%252e/fine", "/files//etc/passwd"}) {
    ExpectRefused(server_, Request("GET", target), 404);
  }
  ExpectRefused(server_, Request("GET", absl::StrCat("/files/", std::string(300, 'n'))), 404);
}

TEST_F(BadInput, Files) {
  const TempDir outside;
  outside.Write("secret", "secret");
  const TempDir& files = server_.files();
  files.MakeLink("link", outside.PathOf("secret"));
  files.MakeLink("link_dir", outside.path());
  files.MakeFifo("fifo");
  files.MakeDirectory("directory");
  files.Write("unreadable", "mine");
  files.MakeUnreadable("unreadable");
  files.Write("large", std::string(100'001, 'x'));
  files.Write("bomb.gz", Gzip(std::string(10'000'000, 'x')));
  files.Write("corrupt.gz", Gzip("text").substr(0, 15));
  ExpectRefused(server_, Request("GET", "/files/link"), 403);
  ExpectRefused(server_, Request("GET", "/files/link_dir/secret"), 403);
  ExpectRefused(server_, Request("GET", "/files/unreadable"), 403);
  ExpectRefused(server_, Request("GET", "/files/large"), 403);
  ExpectRefused(server_, Request("GET", "/files/bomb.gz"), 403);
  ExpectRefused(server_, Request("GET", "/files/fifo"), 404);
  ExpectRefused(server_, Request("GET", "/files/directory"), 404);
  ExpectRefused(server_, Request("GET", "/files/corrupt.gz"), 500);
}

TEST_F(BadInput, Methods) {
  for (std::string_view method :
       {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW", "get"}) {
    ExpectRefused(server_, Request(method, "/files/fine"), 405);
  }
  RawClient client(server_.port());
  client.Send(Request("DELETE", "/files/fine"));
  EXPECT_EQ(client.Read().Field("allow"), "GET, HEAD");
  EXPECT_EQ(client.Get("/files/fine").status, 200) << "nothing wrong with the connection";
  client.Send(absl::StrCat(Request("POST", "/files/fine", "Content-Length: 3\r\n"), "a=b"));
  const RawResponse response = client.Read();
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.Field("connection"), "close") << "its body was not read";
  EXPECT_TRUE(client.ReadsEnd());
}

TEST_F(BadInput, Versions) {
  ExpectRefused(server_, "GET /files/fine HTTP/2.0\r\nHost: h\r\n\r\n", 505);
  ExpectRefused(server_, "GET /files/fine HTTP/1.2\r\nHost: h\r\n\r\n", 505);
  ExpectRefused(server_, "GET /files/fine HTTP/0.9\r\nHost: h\r\n\r\n", 505);
}

TEST_F(BadInput, Syntax) {
  for (std::string_view request :
       {"\r\n\r\n", "GET /files/fine http/1.1\r\nHost: h\r\n\r\n", "GET\r\n\r\n",
        "GET /files/fine\r\n\r\n", "\x16\x03\x01\x02 TLS?\r\n\r\n",
        "GET /files/fine HTTP/1.1\nHost: h\n\n", "GET /files/fine HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET /files/fine HTTP/1.1\r\nno colon\r\nHost: h\r\n\r\n",
        "GET  /files/fine HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /files/fine HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
        "GET /files/fine HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET /files/fine HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "GET /files/fine HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /files/fine HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        "GET /files/fine HTTP/1.1\r\n\r\n",
        "GET /files/fine HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"}) {
    ExpectRefused(server_, request, 400);
  }
}

TEST_F(BadInput, RequestLineTooLong) {
  const std::string line = absl::StrCat("GET /files/", std::string(9000, 'a'));
  ExpectRefused(server_, line, 414);
  ExpectRefused(server_, absl::StrCat(line, " HTTP/1.1\r\nHost: h\r\n\r\n"), 414);
}

TEST_F(BadInput, HeaderTooLarge) {
  const std::string start = "GET /files/fine HTTP/1.1\r\nHost: h\r\n";
  ExpectRefused(server_, absl::StrCat(start, "X: ", std::string(9000, 'a'), "\r\n\r\n"), 431);
  ExpectRefused(server_, absl::StrCat(start, "X: ", std::string(9000, 'a')), 431);
  std::string many = start;
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&many, "X-", i, ": ", i, "\r\n");
  ExpectRefused(server_, absl::StrCat(many, "\r\n"), 431);
}

TEST_F(BadInput, HeaderTooLargeAfterALineInPieces) {
  const size_t lines_before = server_.LogLines().size();
  RawClient client(server_.port());
  client.Send("GET /files/fi");
  // Most likely the server sees this by itself; what it answers must not depend on that.
  AwaitCondition("accepted",
                 [&] { return server_.server().metrics().connections_accepted.value() == 1; });
  client.Send(absl::StrCat("ne HTTP/1.1\r\nHost: h\r\nX: ", std::string(9000, 'a')));
  EXPECT_EQ(client.Read().status, 431);
  EXPECT_EQ(server_.LogLines().size(), lines_before + 1);
}

TEST_F(BadInput, BodyTooLarge) {
  ExpectRefused(server_, Request("GET", "/files/fine", "Content-Length: 4097\r\n"), 413);
  ExpectRefused(server_, Request("GET", "/files/fine", "Content-Length: 9999999999\r\n"), 413);
  ExpectRefused(
      server_,
      absl::StrCat(Request("GET", "/files/fine", "Transfer-Encoding: chunked\r\n"), "fffff\r\n"),
      413);
  ExpectRefused(server_, Request("POST", "/files/fine", "Content-Length: 9999999999\r\n"), 405);
}

TEST_F(BadInput, ResponseReachesAClientThatIsStillSending) {
  RawClient client(server_.port());
  client.Send(absl::StrCat(Request("POST", "/files/fine", "Content-Length: 500000\r\n"),
                           std::string(500'000, 'x')));
  EXPECT_EQ(client.Read().status, 405);
  EXPECT_TRUE(client.ReadsEnd());
}

TEST_F(BadInput, LogLinesCannotBeForged) {
  RawClient client(server_.port());
  client.Get("/files/%0a\"\tlevel=error");
  const std::string line = server_.LogLines().back();
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_FALSE(absl::StrContains(line, "\" level=error")) << line;
}

TEST_F(BadInput, ClientsThatHangUpAreForgotten) {
  server_.files().Write("slow", "slow");
  server_.gate().Shut("slow");
  {
    RawClient silent(server_.port());
    RawClient half(server_.port());
    half.Send("GET /files/fi");
    RawClient waiting(server_.port());
    waiting.Send(Request("GET", "/files/slow"));
    server_.gate().AwaitLoad("slow");
  }
  server_.gate().Open("slow");
  AwaitCondition("all connections gone", [&] {
    const Metrics& metrics = server_.server().metrics();
    return metrics.connections.value() == 0 && metrics.requests_in_flight.value() == 0;
  });
  EXPECT_EQ(server_.Metric("weak_value_cache_live_entries"), 0);
}

TEST(SlowClient, GetsA408ForHalfARequest) {
  ServerOptions options = PatientOptions();
  options.header_timeout = std::chrono::milliseconds(50);
  TestServer server(options);
  RawClient client(server.port());
  client.Send("GET /files/fine HTTP/1.1\r\nHo");
  const RawResponse response = client.Read();
  EXPECT_EQ(response.status, 408);
  EXPECT_EQ(response.Field("connection"), "close");
  EXPECT_TRUE(client.ReadsEnd());
  EXPECT_EQ(server.LogLines().size(), 1);
}

TEST(SlowClient, GetsA408ForHalfABody) {
  ServerOptions options = PatientOptions();
  options.header_timeout = std::chrono::milliseconds(50);
  TestServer server(options);
  RawClient client(server.port());
  client.Send(Request("GET", "/healthz", "Content-Length: 5\r\n"));
  client.Send("123");
  EXPECT_EQ(client.Read().status, 408);
  EXPECT_TRUE(client.ReadsEnd());
}

TEST(SlowClient, IdleConnectionsAreClosedSilently) {
  ServerOptions options = PatientOptions();
  options.idle_timeout = std::chrono::milliseconds(50);
  TestServer server(options);
  RawClient fresh(server.port());
  EXPECT_TRUE(fresh.ReadsEnd());
  RawClient used(server.port());
  EXPECT_EQ(used.Get("/healthz").status, 200);
  EXPECT_TRUE(used.ReadsEnd());
  EXPECT_TRUE(server.LogLines().empty());
}

TEST(SlowClient, WhoDoesNotReadIsCutOffAndItsFileLetGo) {
  ServerOptions options = PatientOptions();
  options.write_timeout = std::chrono::milliseconds(50);
  TestServer server(options);
  // More than the kernel's buffers take.
  server.files().Write("large", RandomBytes(size_t{32} << 20, 1));
  RawClient client(server.port(), /*receive_buffer_bytes=*/4096);
  client.Send(Request("GET", "/files/large"));
  AwaitCondition("cut off", [&] { return server.server().metrics().timeouts.value() == 1; });
  AwaitCondition("gone", [&] { return server.server().metrics().connections.value() == 0; });
  EXPECT_EQ(server.Metric("weak_value_cache_live_entries"), 0);
  ASSERT_EQ(server.LogLines().size(), 1);
}

}  // namespace
}  // namespace resource_server
