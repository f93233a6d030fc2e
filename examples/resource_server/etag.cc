#include "examples/resource_server/etag.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "examples/resource_server/sha256.h"

namespace resource_server {
namespace {

constexpr size_t kTagBytes = 16;

void SkipSeparators(std::string_view& text) {
  const size_t next = text.find_first_not_of(" \t,");
  text.remove_prefix(next == std::string_view::npos ? text.size() : next);
}

}  // namespace

std::string MakeEtag(std::string_view body) {
  const auto digest = Sha256(body);
  const std::string_view bytes(reinterpret_cast<const char*>(digest.data()), kTagBytes);
  return absl::StrCat("\"", absl::BytesToHexString(bytes), "\"");
}

bool IfNoneMatchNames(std::string_view field_value, std::string_view etag) {
  SkipSeparators(field_value);
  if (field_value == "*") return true;
  // A tag may contain commas, so the list cannot be split at them.
  while (!field_value.empty()) {
    if (field_value.starts_with("W/")) field_value.remove_prefix(2);
    if (!field_value.starts_with('"')) return false;
    const size_t end = field_value.find('"', 1);
    if (end == std::string_view::npos) return false;
    if (field_value.substr(0, end + 1) == etag) return true;
    field_value.remove_prefix(end + 1);
    SkipSeparators(field_value);
  }
  return false;
}

}  // namespace resource_server
