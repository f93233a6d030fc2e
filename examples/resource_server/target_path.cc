#include "examples/resource_server/target_path.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "examples/resource_server/utf8.h"

namespace resource_server {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
  if (lower >= 'a' && lower <= 'f') return lower - 'a' + 10;
  return -1;
}

// "http://host/path?query" or "/path?query" to "/path".
absl::StatusOr<std::string_view> RawPath(std::string_view target) {
  if (absl::StartsWithIgnoreCase(target, "http://")) {
    const size_t slash = target.find('/', 7);
    if (slash == std::string_view::npos) return absl::NotFoundError("no path");
    target.remove_prefix(slash);
  }
  if (target.empty() || target.front() != '/') {
    return absl::InvalidArgumentError("the target is not a path");
  }
  return target.substr(0, target.find('?'));
}

absl::StatusOr<std::string> DecodeSegment(std::string_view raw) {
  std::string decoded;
  decoded.reserve(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) {
    char c = raw[i];
    if (c == '#' || static_cast<unsigned char>(c) >= 0x80) {
      return absl::InvalidArgumentError("a character that must be percent-encoded");
    }
    if (c == '%') {
      const int high = i + 2 < raw.size() ? HexDigit(raw[i + 1]) : -1;
      const int low = i + 2 < raw.size() ? HexDigit(raw[i + 2]) : -1;
      if (high < 0 || low < 0) return absl::InvalidArgumentError("a bad percent escape");
      c = static_cast<char>(high * 16 + low);
      i += 2;
      // A file name cannot hold a slash: this can only be meant to slip past a check.
      if (c == '/') return absl::InvalidArgumentError("an encoded slash");
    }
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      return absl::InvalidArgumentError("a control character");
    }
    if (c == '\\') return absl::InvalidArgumentError("a backslash");
    decoded.push_back(c);
  }
  if (!IsValidUtf8(decoded)) return absl::InvalidArgumentError("not UTF-8");
  if (decoded == "..") return absl::InvalidArgumentError("a parent directory segment");
  return decoded;
}

}  // namespace

absl::StatusOr<Target> ParseTarget(std::string_view target) {
  const absl::StatusOr<std::string_view> raw = RawPath(target);
  if (!raw.ok()) return raw.status();

  std::vector<std::string> segments;
  bool names_directory = false;
  for (std::string_view piece : absl::StrSplit(*raw, '/')) {
    absl::StatusOr<std::string> segment = DecodeSegment(piece);
    if (!segment.ok()) return segment.status();
    // "a//b", "a/./b" and "a/b" are one file, hence one key.
    names_directory = segment->empty() || *segment == ".";
    if (!names_directory) segments.push_back(*std::move(segment));
  }
  if (names_directory || segments.empty()) return absl::NotFoundError("names a directory");

  if (segments.size() == 1 && segments[0] == "metrics") return Target{Endpoint::kMetrics, ""};
  if (segments.size() == 1 && segments[0] == "healthz") return Target{Endpoint::kHealth, ""};
  if (segments.size() > 1 && segments[0] == "files") {
    return Target{Endpoint::kFile, absl::StrJoin(segments.begin() + 1, segments.end(), "/")};
  }
  return absl::NotFoundError("no such endpoint");
}

}  // namespace resource_server
