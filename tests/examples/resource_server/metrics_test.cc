#include "examples/resource_server/metrics.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "examples/resource_server/prometheus.h"

namespace resource_server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Prometheus, WritesHeadsAndSamples) {
  std::string text;
  PrometheusWriter writer(text);
  writer.Counter("a_total", "Things.", 7);
  writer.Gauge("b", "More things.", uint64_t{1} << 60);
  writer.Head("c", "Labelled.", "counter");
  writer.Sample("c", "x=\"1\"", uint64_t{2});
  EXPECT_EQ(text,
            "# HELP a_total Things.\n# TYPE a_total counter\na_total 7\n"
            "# HELP b More things.\n# TYPE b gauge\nb 1152921504606846976\n"
            "# HELP c Labelled.\n# TYPE c counter\nc{x=\"1\"} 2\n");
}

TEST(LatencyHistogram, BucketsAreCumulative) {
  LatencyHistogram histogram;
  histogram.Observe(milliseconds(1));  // on a bound: belongs to it
  histogram.Observe(milliseconds(3));
  histogram.Observe(seconds(100));
  std::string text;
  histogram.Append(text, "h", "Help.");
  EXPECT_TRUE(absl::StrContains(text, "# TYPE h histogram\n"));
  EXPECT_TRUE(absl::StrContains(text, "h_bucket{le=\"0.0005\"} 0\n")) << text;
  EXPECT_TRUE(absl::StrContains(text, "h_bucket{le=\"0.001\"} 1\n")) << text;
  EXPECT_TRUE(absl::StrContains(text, "h_bucket{le=\"0.0025\"} 1\n")) << text;
  EXPECT_TRUE(absl::StrContains(text, "h_bucket{le=\"0.005\"} 2\n")) << text;
  EXPECT_TRUE(absl::StrContains(text, "h_bucket{le=\"10\"} 2\n")) << text;
  EXPECT_TRUE(absl::StrContains(text, "h_bucket{le=\"+Inf\"} 3\n")) << text;
  EXPECT_TRUE(absl::StrContains(text, "h_count 3\n")) << text;
  EXPECT_TRUE(absl::StrContains(text, "h_sum 100.004\n")) << text;
}

// Every sample belongs to a metric announced before it, each announced once, counters in _total.
TEST(Metrics, TextIsWellFormed) {
  Metrics metrics;
  metrics.CountResponse(200);
  metrics.CountResponse(404);
  metrics.CountResponse(404);
  metrics.CountResponse(9999);
  metrics.connections.Increment();
  metrics.load_duration.Observe(milliseconds(5));
  std::string text;
  metrics.Append(text);

  ASSERT_TRUE(absl::EndsWith(text, "\n"));
  std::map<std::string, std::string> types;
  std::set<std::string> helped;
  const std::string_view lines = std::string_view(text).substr(0, text.size() - 1);
  for (std::string_view line : absl::StrSplit(lines, '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    ASSERT_GE(words.size(), 2) << line;
    if (words[0] == "#" && words[1] == "HELP") {
      EXPECT_TRUE(helped.insert(words[2]).second) << line;
    } else if (words[0] == "#") {
      EXPECT_TRUE(types.emplace(words[2], words[3]).second) << line;
      EXPECT_TRUE(helped.contains(words[2])) << line;
      EXPECT_EQ(words[3] == "counter", absl::EndsWith(words[2], "_total")) << line;
    } else {
      std::string name = words[0].substr(0, words[0].find('{'));
      for (const char* suffix : {"_bucket", "_sum", "_count"}) {
        if (absl::EndsWith(name, suffix)) name.resize(name.size() - std::string(suffix).size());
      }
      EXPECT_TRUE(types.contains(name)) << line;
    }
  }
  EXPECT_TRUE(absl::StrContains(text, "resource_server_requests_total{code=\"200\"} 1\n"));
  EXPECT_TRUE(absl::StrContains(text, "resource_server_requests_total{code=\"404\"} 2\n"));
  EXPECT_TRUE(absl::StrContains(text, "resource_server_connections 1\n"));
}

}  // namespace
}  // namespace resource_server
