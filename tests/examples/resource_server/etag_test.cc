#include "examples/resource_server/etag.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "absl/strings/escaping.h"
#include "examples/resource_server/sha256.h"

namespace resource_server {
namespace {

std::string HexDigest(std::string_view bytes) {
  const auto digest = Sha256(bytes);
  return absl::BytesToHexString({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

// FIPS 180-4's examples, the empty message, and lengths around the padding's block boundary.
TEST(Sha256, MatchesPublishedDigests) {
  EXPECT_EQ(HexDigest(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HexDigest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HexDigest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(HexDigest(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(HexDigest(std::string(55, 'a')),
            "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
  EXPECT_EQ(HexDigest(std::string(56, 'a')),
            "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
  EXPECT_EQ(HexDigest(std::string(64, 'a')),
            "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
}

TEST(Etag, IsStrongAndOfTheContentAlone) {
  const std::string tag = MakeEtag("content");
  EXPECT_EQ(tag.size(), 34);
  EXPECT_EQ(tag.front(), '"');
  EXPECT_EQ(tag.back(), '"');
  EXPECT_EQ(MakeEtag("content"), tag);
  EXPECT_NE(MakeEtag("Content"), tag);
  EXPECT_EQ(MakeEtag("abc"), "\"ba7816bf8f01cfea414140de5dae2223\"")
      << "must not change by a release";
}

TEST(IfNoneMatch, FindsTheTagInLists) {
  for (std::string_view value :
       {R"("x")", R"(W/"x")", R"("a", "x")", R"("a","x","b")", R"(W/"a", W/"x")", R"(  "x"  )", "*",
        R"(,, "a" ,, "x")", R"("a,b", "x")", R"("a" "x")", R"("\", "x")"}) {
    EXPECT_TRUE(IfNoneMatchNames(value, R"("x")")) << value;
  }
}

TEST(IfNoneMatch, FindsNothingElse) {
  for (std::string_view value :
       {"", " ", ",", "x", R"("X")", R"("xx")", R"("a, x")", R"("x)", R"(x")", R"(w/"x")", R"(W/x)",
        R"(W/)", R"("a", *)", "**", R"(bad, "x")", R"("a"x")"}) {
    EXPECT_FALSE(IfNoneMatchNames(value, R"("x")")) << value;
  }
}

}  // namespace
}  // namespace resource_server
