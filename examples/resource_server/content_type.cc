#include "examples/resource_server/content_type.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"

namespace resource_server {
namespace {

using Entry = std::pair<std::string_view, std::string_view>;

constexpr auto kTypes = std::to_array<Entry>({
    {"c", "text/plain; charset=utf-8"},
    {"cc", "text/plain; charset=utf-8"},
    {"conf", "text/plain; charset=utf-8"},
    {"cpp", "text/plain; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"h", "text/plain; charset=utf-8"},
    {"htm", "text/html; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"ico", "image/vnd.microsoft.icon"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"md", "text/markdown; charset=utf-8"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"ps", "application/postscript"},
    {"py", "text/x-python; charset=utf-8"},
    {"svg", "image/svg+xml"},
    {"svgz", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"tgz", "application/gzip"},
    {"txt", "text/plain; charset=utf-8"},
    {"wasm", "application/wasm"},
    {"webp", "image/webp"},
    {"xhtml", "application/xhtml+xml"},
    {"xml", "application/xml"},
    {"yaml", "application/yaml"},
    {"yml", "application/yaml"},
    {"zip", "application/zip"},
});
static_assert(std::is_sorted(kTypes.begin(), kTypes.end()), "ContentTypeFor searches by halving");

// "" where the name has none; a leading dot makes a hidden file, not an extension.
std::string_view Extension(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return "";
  return name.substr(dot + 1);
}

}  // namespace

std::string_view ContentTypeFor(std::string_view path, bool gunzipped) {
  std::string_view name = path.substr(path.rfind('/') + 1);
  std::string extension = absl::AsciiStrToLower(Extension(name));
  if (gunzipped && extension == "gz") {
    name.remove_suffix(3);
    extension = absl::AsciiStrToLower(Extension(name));
  } else if (gunzipped && extension == "tgz") {
    extension = "tar";
  }
  const auto found =
      std::lower_bound(kTypes.begin(), kTypes.end(), extension,
                       [](const Entry& entry, std::string_view key) { return entry.first < key; });
  if (found == kTypes.end() || found->first != extension) return "application/octet-stream";
  return found->second;
}

}  // namespace resource_server
