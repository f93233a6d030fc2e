#include "examples/resource_server/freshness.h"

#include <gtest/gtest.h>

#include <chrono>

namespace resource_server {
namespace {

using std::chrono::seconds;

constexpr Clock::time_point kStart{seconds(1000)};

TEST(Freshness, CoversRequestsWithinTheTolerance) {
  const Freshness fresh(kStart);
  EXPECT_TRUE(fresh.Covers(kStart, seconds(0)));
  EXPECT_TRUE(fresh.Covers(kStart - seconds(5), seconds(0)));
  EXPECT_FALSE(fresh.Covers(kStart + seconds(1), seconds(0)));
  EXPECT_TRUE(fresh.Covers(kStart + seconds(10), seconds(10)));
  EXPECT_FALSE(fresh.Covers(kStart + seconds(11), seconds(10)));
}

TEST(Freshness, OneChecksAtATime) {
  Freshness fresh(kStart);
  EXPECT_TRUE(fresh.TryBeginCheck());
  EXPECT_FALSE(fresh.TryBeginCheck());
  fresh.EndCheck(kStart + seconds(1));
  EXPECT_TRUE(fresh.Covers(kStart + seconds(1), seconds(0)));
  EXPECT_TRUE(fresh.TryBeginCheck());
}

TEST(Freshness, MovesWithItsResource) {
  Freshness first(kStart);
  EXPECT_TRUE(first.TryBeginCheck());
  Freshness second(std::move(first));
  EXPECT_TRUE(second.Covers(kStart, seconds(0)));
  EXPECT_FALSE(second.TryBeginCheck());
}

}  // namespace
}  // namespace resource_server
