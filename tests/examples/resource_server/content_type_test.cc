#include "examples/resource_server/content_type.h"

#include <gtest/gtest.h>

namespace resource_server {
namespace {

TEST(ContentType, GoesByTheExtension) {
  EXPECT_EQ(ContentTypeFor("a/b.html", false), "text/html; charset=utf-8");
  EXPECT_EQ(ContentTypeFor("B.HTML", false), "text/html; charset=utf-8");
  EXPECT_EQ(ContentTypeFor("a.b.json", false), "application/json");
  EXPECT_EQ(ContentTypeFor("c.c", false), "text/plain; charset=utf-8");
  EXPECT_EQ(ContentTypeFor("z.zip", false), "application/zip");
}

TEST(ContentType, UnknownIsBytes) {
  for (const char* name : {"copyright", "a.xyz", ".html", "dir.html/name", "a.", ""}) {
    EXPECT_EQ(ContentTypeFor(name, false), "application/octet-stream") << name;
  }
}

TEST(ContentType, OfTheDecompressedNameWhereThatIsServed) {
  EXPECT_EQ(ContentTypeFor("changes.txt.gz", true), "text/plain; charset=utf-8");
  EXPECT_EQ(ContentTypeFor("changes.txt.GZ", true), "text/plain; charset=utf-8");
  EXPECT_EQ(ContentTypeFor("changes.txt.gz", false), "application/gzip");
  EXPECT_EQ(ContentTypeFor("all.tgz", true), "application/x-tar");
  EXPECT_EQ(ContentTypeFor("all.tar.gz", true), "application/x-tar");
  EXPECT_EQ(ContentTypeFor("drawing.svgz", true), "image/svg+xml");
  EXPECT_EQ(ContentTypeFor("compressed.txt", true), "text/plain; charset=utf-8");
  EXPECT_EQ(ContentTypeFor("changelog.gz", true), "application/octet-stream");
}

}  // namespace
}  // namespace resource_server
