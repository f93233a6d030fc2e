#include "examples/resource_server/file_source.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "examples/resource_server/etag.h"
#include "examples/resource_server/safe_open.h"
#include "tests/examples/resource_server/temp_dir.h"

namespace resource_server {
namespace {

using testing::Gzip;
using testing::RandomBytes;
using testing::TempDir;

FileSource SourceOf(const TempDir& dir, size_t max_bytes = 1'000'000) {
  return FileSource(*RootDirectory::Open(dir.path()), max_bytes);
}

TEST(FileSource, LoadsAFileWithAllThatBelongsToIt) {
  const TempDir dir;
  dir.Write("sub/a.json", "{}");
  FileSource source = SourceOf(dir);
  const absl::StatusOr<Resource> resource = source.Load("sub/a.json");
  ASSERT_TRUE(resource.ok()) << resource.status();
  EXPECT_EQ(resource->path, "sub/a.json");
  EXPECT_EQ(resource->body, "{}");
  EXPECT_EQ(resource->content_type, "application/json");
  EXPECT_EQ(resource->etag, MakeEtag("{}"));
  EXPECT_EQ(resource->identity, *source.Identify("sub/a.json"));
}

TEST(FileSource, DecompressesByContentNotByName) {
  const TempDir dir;
  const std::string text = RandomBytes(10'000, 1);
  dir.Write("plain.txt", Gzip(text));
  EXPECT_EQ(SourceOf(dir).Load("plain.txt")->body, text);
}

TEST(FileSource, LimitIsExactAndCountsWhatIsServed) {
  const TempDir dir;
  dir.Write("fits", std::string(100, 'x'));
  dir.Write("large", std::string(101, 'x'));
  dir.Write("fits.gz", Gzip(std::string(100, 'x')));
  dir.Write("large.gz", Gzip(std::string(101, 'x')));
  FileSource source = SourceOf(dir, 100);
  EXPECT_TRUE(source.Load("fits").ok());
  EXPECT_TRUE(source.Load("fits.gz").ok());
  EXPECT_EQ(source.Load("large").status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(source.Load("large.gz").status().code(), absl::StatusCode::kOutOfRange);
}

TEST(FileSource, ReadsFilesWhoseSizeIsNotTold) {
  // The files of /proc say that they are empty.
  FileSource source(*RootDirectory::Open("/proc/self"), 1'000'000);
  const absl::StatusOr<Resource> resource = source.Load("status");
  ASSERT_TRUE(resource.ok()) << resource.status();
  EXPECT_TRUE(resource->body.starts_with("Name:"));
  FileSource small(*RootDirectory::Open("/proc/self"), 10);
  EXPECT_EQ(small.Load("status").status().code(), absl::StatusCode::kOutOfRange);
}

TEST(FileSource, MarksFilesThatChangedJustNow) {
  const TempDir dir;
  FileSource source = SourceOf(dir);
  // A load that is held up for long after its write finds the file old already; not every time.
  bool young = false;
  for (int i = 0; i < 1000 && !young; ++i) {
    dir.Write("new", "new");
    young = source.Load("new")->identity_is_young;
  }
  EXPECT_TRUE(young);
  // Everything grows old.
  while (young) young = source.Load("new")->identity_is_young;
  EXPECT_EQ(source.Load("new")->identity, *source.Identify("new"));
}

TEST(FileSource, DamagedGzipIsDataLoss) {
  const TempDir dir;
  dir.Write("a.gz", Gzip("text").substr(0, 12));
  EXPECT_EQ(SourceOf(dir).Load("a.gz").status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace resource_server
