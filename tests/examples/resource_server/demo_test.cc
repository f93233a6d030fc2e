// The parts of demo_client, which is to find faults: it must not be blind itself.

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/resource_server/demo/corpus.h"
#include "examples/resource_server/demo/scrape.h"
#include "examples/resource_server/demo/session.h"
#include "examples/resource_server/demo/tally.h"
#include "examples/resource_server/demo/zipf.h"
#include "tests/examples/resource_server/temp_dir.h"
#include "tests/examples/resource_server/test_server.h"

namespace resource_server::demo {
namespace {

using testing::Gzip;
using testing::PatientOptions;
using testing::TempDir;
using testing::TestServer;

std::vector<std::string> Targets(const Corpus& corpus) {
  std::vector<std::string> targets;
  for (const Document& document : corpus.documents) targets.push_back(document.target);
  return targets;
}

TEST(Corpus, HoldsRegularFilesDecompressed) {
  const TempDir files;
  files.Write("a b/c%.txt", "plain");
  files.Write("z.gz", Gzip("one") + Gzip("two"));
  files.Write("empty", "");
  files.Write("damaged.gz", Gzip("text").substr(0, 12));
  files.Write("back\\slash", "unnamable");
  files.MakeLink("link", "empty");
  files.MakeFifo("fifo");
  const absl::StatusOr<Corpus> corpus = ReadCorpus(files.path(), 1);
  ASSERT_TRUE(corpus.ok()) << corpus.status();
  std::set<std::pair<std::string, std::string>> found;
  for (const Document& document : corpus->documents) found.emplace(document.target, document.body);
  EXPECT_EQ(
      found,
      (std::set<std::pair<std::string, std::string>>{
          {"/files/a%20b/c%25.txt", "plain"}, {"/files/empty", ""}, {"/files/z.gz", "onetwo"}}));
  EXPECT_EQ(corpus->total_bytes, 11);
  EXPECT_EQ(corpus->skipped, 2);
}

TEST(Corpus, IsTheSeedsAlone) {
  const TempDir files;
  for (int i = 0; i < 30; ++i) files.Write(absl::StrCat(i), "x");
  const CorpusLimits limits = {.max_files = 10};
  EXPECT_EQ(Targets(*ReadCorpus(files.path(), 1, limits)),
            Targets(*ReadCorpus(files.path(), 1, limits)));
  EXPECT_NE(Targets(*ReadCorpus(files.path(), 1, limits)),
            Targets(*ReadCorpus(files.path(), 2, limits)));
}

TEST(Corpus, KeepsItsLimits) {
  const TempDir files;
  for (int i = 0; i < 30; ++i) files.Write(absl::StrCat(i), std::string(10, 'x'));
  EXPECT_EQ(ReadCorpus(files.path(), 1, {.max_files = 7})->documents.size(), 7);
  EXPECT_EQ(ReadCorpus(files.path(), 1, {.max_total_bytes = 55})->documents.size(), 5);
  EXPECT_FALSE(ReadCorpus(files.path(), 1, {.max_file_bytes = 9}).ok());
}

TEST(Zipf, FavoursTheFirst) {
  constexpr int kDraws = 100'000;
  const Zipf zipf(100, 1.0);
  std::mt19937_64 random(5);
  std::vector<int> counts(100);
  for (int i = 0; i < kDraws; ++i) ++counts.at(zipf(random));
  // The harmonic number of 100 is 5.187; a fifth of all draws is the first, a tenth the second.
  EXPECT_NEAR(counts[0], kDraws / 5.187, kDraws * 0.01);
  EXPECT_NEAR(counts[1], kDraws / 5.187 / 2, kDraws * 0.01);
  EXPECT_GT(counts[99], 0);
}

TEST(Tally, QuantilesAreASixteenthTooHighAtMost) {
  Tally tally;
  for (int i = 1; i <= 10'000; ++i) tally.Verified(std::chrono::microseconds(i), 1);
  for (const double quantile : {0.001, 0.5, 0.9, 0.99, 1.0}) {
    const double exact = 10'000 * quantile;
    const auto found = static_cast<double>(tally.LatencyQuantile(quantile).count());
    EXPECT_GE(found, exact);
    EXPECT_LE(found, exact * (1 + 1.0 / 16));
  }
  EXPECT_EQ(tally.verified(), 10'000);
  EXPECT_EQ(tally.body_bytes(), 10'000);
  EXPECT_EQ(Tally().LatencyQuantile(0.5), std::chrono::microseconds(0));
  tally.Verified(std::chrono::hours(10'000), 0);
}

TEST(Scrape, ReadsSamples) {
  const absl::StatusOr<Samples> samples =
      ParseMetrics("# HELP a b\na 1\nb{code=\"2 0\"} 7\nc 1.5e3\n");
  ASSERT_TRUE(samples.ok());
  EXPECT_EQ(ValueOf(*samples, "a"), 1);
  EXPECT_EQ(ValueOf(*samples, "b{code=\"2 0\"}"), 7);
  EXPECT_EQ(ValueOf(*samples, "c"), 1500);
  EXPECT_EQ(ValueOf(*samples, "d"), 0);
  EXPECT_FALSE(ParseMetrics("nonsense\n").ok());
}

// Runs one client against a server whose files may differ from what the client expects.
class SessionTest : public ::testing::Test {
 protected:
  void Run(const Corpus& corpus) {
    const Zipf popularity(corpus.documents.size(), 1.0);
    Workload workload{.server = {boost::asio::ip::address_v4::loopback(), server_.port()},
                      .corpus = corpus,
                      .popularity = popularity,
                      .tally = tally_};
    boost::asio::io_context io;
    std::make_shared<Session>(io, workload, 1)->Start();
    // Until it has failed or has done enough.
    while (io.run_one() > 0) {
      if (tally_.verified() == kEnough) workload.stop = true;
    }
  }

  static constexpr uint64_t kEnough = 2500;  // more than a connection is kept for
  TestServer server_;
  Tally tally_;
};

TEST_F(SessionTest, VerifiesWhatIsRight) {
  server_.files().Write("a", "a");
  server_.files().Write("b.gz", Gzip(std::string(100'000, 'b')));
  const absl::StatusOr<Corpus> corpus = ReadCorpus(server_.files().path(), 1);
  ASSERT_TRUE(corpus.ok());
  Run(*corpus);
  EXPECT_GE(tally_.verified(), kEnough);
  EXPECT_EQ(tally_.mismatches() + tally_.failures(), 0)
      << ::testing::PrintToString(tally_.Complaints());
  EXPECT_GT(server_.Metric("resource_server_connections_accepted_total"), 2);
}

TEST_F(SessionTest, SeesAWrongByte) {
  server_.files().Write("f", "content");
  Run({.documents = {{"/files/f", "contend"}}});
  EXPECT_EQ(tally_.mismatches(), 1);
  EXPECT_TRUE(absl::StrContains(tally_.Complaints().front(), "wrong body"));
}

TEST_F(SessionTest, SeesAWrongLength) {
  server_.files().Write("f", "content");
  Run({.documents = {{"/files/f", "content and more"}}});
  EXPECT_EQ(tally_.verified(), 0);
  EXPECT_EQ(tally_.mismatches(), 1);
}

TEST_F(SessionTest, SeesAMissingFile) {
  Run({.documents = {{"/files/none", ""}}});
  EXPECT_EQ(tally_.verified(), 0);
  EXPECT_EQ(tally_.failures(), 1);
}

TEST_F(SessionTest, SeesAServerThatIsGone) {
  server_.files().Write("f", "content");
  server_.server().BeginStop();
  EXPECT_TRUE(server_.server().Wait());
  Run({.documents = {{"/files/f", "content"}}});
  EXPECT_EQ(tally_.failures(), 1);
}

}  // namespace
}  // namespace resource_server::demo
