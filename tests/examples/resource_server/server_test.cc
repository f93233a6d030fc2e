// What well-behaved clients see, over real sockets.

#include "examples/resource_server/server.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/resource_server/etag.h"
#include "tests/examples/resource_server/raw_client.h"
#include "tests/examples/resource_server/temp_dir.h"
#include "tests/examples/resource_server/test_server.h"

namespace resource_server {
namespace {

using testing::Gzip;
using testing::PatientOptions;
using testing::RandomBytes;
using testing::RawClient;
using testing::RawResponse;
using testing::Request;
using testing::TestServer;

TEST(Server, ServesAFile) {
  TestServer server;
  server.files().Write("a/page.html", "<p>hello");
  const RawResponse response = RawClient(server.port()).Get("/files/a/page.html");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "<p>hello");
  EXPECT_EQ(response.Field("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(response.Field("content-length"), "8");
  EXPECT_EQ(response.Field("etag"), MakeEtag("<p>hello"));
  EXPECT_EQ(response.Field("cache-control"), "no-cache");
  EXPECT_EQ(response.Field("x-content-type-options"), "nosniff");
  EXPECT_TRUE(absl::EndsWith(response.Field("date"), " GMT")) << response.head;
}

TEST(Server, ServesFilesOfEverySize) {
  TestServer server;
  RawClient client(server.port());
  for (size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{100'000}, size_t{20} << 20}) {
    const std::string bytes = RandomBytes(size, static_cast<unsigned>(size));
    server.files().Write(absl::StrCat("f", size), bytes);
    const RawResponse response = client.Get(absl::StrCat("/files/f", size));
    EXPECT_EQ(response.status, 200);
    EXPECT_TRUE(response.body == bytes) << size;
  }
}

TEST(Server, ServesWhatAGzipFileHolds) {
  TestServer server;
  const std::string text(100'000, 'x');
  server.files().Write("changes.txt.gz", Gzip(text));
  server.files().Write("not.gz", "no gzip at all");
  RawClient client(server.port());
  const RawResponse response = client.Get("/files/changes.txt.gz");
  EXPECT_EQ(response.body, text);
  EXPECT_EQ(response.Field("content-type"), "text/plain; charset=utf-8");
  EXPECT_EQ(response.Field("content-encoding"), "");
  EXPECT_EQ(response.Field("etag"), MakeEtag(text));
  const RawResponse plain = client.Get("/files/not.gz");
  EXPECT_EQ(plain.body, "no gzip at all");
  EXPECT_EQ(plain.Field("content-type"), "application/gzip");
}

TEST(Server, DecodesNames) {
  TestServer server;
  server.files().Write("a b/\xc3\xa9%2e", "named");
  RawClient client(server.port());
  EXPECT_EQ(client.Get("/files/a%20b/%c3%a9%252e").body, "named");
  EXPECT_EQ(client.Get("http://elsewhere/files/./a%20b//%c3%a9%252e?query").body, "named");
}

TEST(Server, HeadSaysWhatGetWouldSay) {
  TestServer server;
  server.files().Write("f.txt", "twelve bytes");
  RawClient client(server.port());
  for (const char* target : {"/files/f.txt", "/files/none", "/healthz"}) {
    client.Send(Request("HEAD", target));
    const RawResponse head = client.Read(/*head=*/true);
    // Were there a body, it would be in front of this response.
    RawResponse get = client.Get(target);
    EXPECT_EQ(head.status, get.status) << target;
    get.fields["date"] = head.Field("date");
    EXPECT_EQ(head.fields, get.fields) << target;
    EXPECT_EQ(head.Field("content-length"), absl::StrCat(get.body.size()));
  }
}

TEST(Server, NotModifiedWhereTheClientHasIt) {
  TestServer server;
  server.files().Write("f", "content");
  RawClient client(server.port());
  const std::string tag = MakeEtag("content");
  for (const std::string& value :
       {tag, absl::StrCat("W/", tag), absl::StrCat("\"a\", ", tag), std::string("*"),
        absl::StrCat("\"a\"\r\nIf-None-Match: ", tag)}) {
    const RawResponse response =
        client.Get("/files/f", absl::StrCat("If-None-Match: ", value, "\r\n"));
    EXPECT_EQ(response.status, 304) << value;
    EXPECT_EQ(response.Field("etag"), tag);
    EXPECT_EQ(response.Field("cache-control"), "no-cache");
    EXPECT_EQ(response.Field("content-type"), "");
  }
  client.Send(Request("HEAD", "/files/f", absl::StrCat("If-None-Match: ", tag, "\r\n")));
  EXPECT_EQ(client.Read().status, 304);
  EXPECT_EQ(client.Get("/files/f", "If-None-Match: \"other\"\r\n").status, 200);
  EXPECT_EQ(client.Get("/files/none", "If-None-Match: *\r\n").status, 404);
}

TEST(Server, KeepsConnectionsAsTheirVersionHasIt) {
  TestServer server;
  server.files().Write("f", "content");
  const auto ends_after = [&server](std::string_view request) {
    RawClient client(server.port());
    client.Send(request);
    EXPECT_EQ(client.Read().status, 200);
    client.Send("GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    return client.Read().status != 200;
  };
  EXPECT_FALSE(ends_after(Request("GET", "/files/f")));
  EXPECT_FALSE(ends_after("GET /files/f HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  EXPECT_TRUE(ends_after("GET /files/f HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(ends_after(Request("GET", "/files/f", "Connection: close\r\n")));
  EXPECT_TRUE(ends_after(Request("GET", "/files/f", "Connection: x, Close\r\n")));
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  TestServer server;
  server.files().Write("slow", "slow");
  server.files().Write("fast", "fast");
  server.gate().Shut("slow");
  RawClient client(server.port());
  client.Send(absl::StrCat(Request("GET", "/files/slow"), Request("GET", "/files/fast"),
                           Request("HEAD", "/files/fast"), Request("GET", "/files/none"),
                           Request("GET", "/files/fast"), Request("GET", "/healthz")));
  server.gate().AwaitLoad("slow");
  server.gate().Open("slow");
  EXPECT_EQ(client.Read().body, "slow");
  EXPECT_EQ(client.Read().body, "fast");
  EXPECT_EQ(client.Read(/*head=*/true).Field("content-length"), "4");
  EXPECT_EQ(client.Read().status, 404);
  EXPECT_EQ(client.Read().body, "fast");
  EXPECT_EQ(client.Read().body, "ok\n");
}

TEST(Server, TakesRequestsInPieces) {
  TestServer server;
  server.files().Write("f", "content");
  RawClient client(server.port());
  for (char byte : Request("GET", "/files/f")) client.Send(std::string_view(&byte, 1));
  EXPECT_EQ(client.Read().body, "content");
}

TEST(Server, DropsTheBodyOfAGet) {
  TestServer server;
  server.files().Write("f", "content");
  RawClient client(server.port());
  client.Send(absl::StrCat(Request("GET", "/files/f", "Content-Length: 5\r\n"), "12345"));
  EXPECT_EQ(client.Read().body, "content");
  client.Send(absl::StrCat(Request("GET", "/files/f", "Transfer-Encoding: chunked\r\n"),
                           "3\r\nabc\r\n0\r\n\r\n"));
  EXPECT_EQ(client.Read().body, "content");
  EXPECT_EQ(client.Get("/files/f").body, "content") << "the connection goes on";
}

TEST(Server, AnswersAtOnceWhoAsksWhetherToSendABody) {
  TestServer server;
  server.files().Write("f", "content");
  RawClient client(server.port());
  client.Send(Request("GET", "/files/f", "Content-Length: 5\r\nExpect: 100-continue\r\n"));
  const RawResponse response = client.Read();
  EXPECT_EQ(response.body, "content");
  EXPECT_EQ(response.Field("connection"), "close");
}

TEST(Server, TellsHealthAndMetrics) {
  TestServer server;
  server.files().Write("f", "content");
  RawClient client(server.port());
  EXPECT_EQ(client.Get("/healthz").body, "ok\n");
  client.Get("/files/f");
  client.Get("/files/none");
  const RawResponse metrics = client.Get("/metrics");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_EQ(metrics.Field("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  for (const char* line :
       {"resource_server_requests_total{code=\"200\"} 2\n",
        "resource_server_requests_total{code=\"404\"} 1\n",
        "resource_server_requests_in_flight 1\n", "resource_server_connections 1\n",
        "resource_server_load_duration_seconds_bucket{le=\"+Inf\"} 2\n",
        "resource_server_load_duration_seconds_count 2\n", "weak_value_cache_loads_total 2\n",
        "weak_value_cache_load_failures_total 1\n", "weak_value_cache_live_entries 1\n",
        "# TYPE weak_value_cache_hits_total counter\n"}) {
    EXPECT_TRUE(absl::StrContains(metrics.body, line)) << line << "in\n" << metrics.body;
  }
}

TEST(Server, RefusesUnusableOptions) {
  ServerOptions options = PatientOptions();
  options.root = "/does/not/exist";
  EXPECT_EQ(Server::Create(options).status().code(), absl::StatusCode::kInvalidArgument);

  TestServer other;
  options.root = other.files().path();
  options.listen_port = other.port();
  EXPECT_EQ(Server::Create(options).status().code(), absl::StatusCode::kUnavailable);
  options.listen_address = "nonsense";
  EXPECT_EQ(Server::Create(options).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace resource_server
