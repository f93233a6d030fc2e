#include "examples/resource_server/log.h"

#include <gtest/gtest.h>

#include <string>

namespace resource_server {
namespace {

class LogTest : public ::testing::Test {
 protected:
  std::string line_;
  Logger log_{[this](std::string_view line) { line_ = line; }};
};

TEST_F(LogTest, LinesAreStructured) {
  log_.Info("listening", {{"port", "80"}, {"root", "a b"}});
  EXPECT_EQ(line_, "level=info msg=\"listening\" port=80 root=\"a b\"\n");
  log_.Warn("w");
  EXPECT_EQ(line_, "level=warn msg=\"w\"\n");
  log_.Error("e", {{"empty", ""}});
  EXPECT_EQ(line_, "level=error msg=\"e\" empty=\"\"\n");
}

TEST_F(LogTest, ValuesCannotLeaveTheirQuotes) {
  log_.Warn("w", {{"v", "a\"b\\c\nlevel=error\x1b\xff=x"}});
  EXPECT_EQ(line_, "level=warn msg=\"w\" v=\"a\\\"b\\\\c\\nlevel=error\\x1b\\xff=x\"\n");
}

TEST_F(LogTest, LongValuesAreCut) {
  log_.Warn("w", {{"v", std::string(10'000, 'x')}});
  EXPECT_EQ(line_, "level=warn msg=\"w\" v=\"" + std::string(200, 'x') + "...\"\n");
}

}  // namespace
}  // namespace resource_server
