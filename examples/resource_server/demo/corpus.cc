#include "examples/resource_server/demo/corpus.h"

#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "examples/resource_server/utf8.h"

namespace resource_server::demo {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> RegularFilesBelow(const fs::path& root) {
  std::vector<std::string> paths;
  std::error_code error;
  fs::recursive_directory_iterator at(root, fs::directory_options::skip_permission_denied, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code unknown;
    if (at->symlink_status(unknown).type() == fs::file_type::regular) {
      paths.push_back(at->path().lexically_relative(root));
    }
  }
  return paths;
}

// std::shuffle's result differs between libraries; this one is the seed's alone.
void Shuffle(std::vector<std::string>& paths, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (size_t i = paths.size(); i > 1; --i) std::swap(paths[i - 1], paths[random() % i]);
}

bool CanBeNamed(std::string_view path) {
  return IsValidUtf8(path) && std::none_of(path.begin(), path.end(), [](unsigned char c) {
           return absl::ascii_iscntrl(c) || c == '\\';
         });
}

// Decompressed if it is gzip; gzread passes other files through.
std::optional<std::string> ReadDecompressed(const fs::path& path, size_t max_bytes) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(::gzopen(path.c_str(), "rbe"), ::gzclose);
  if (file == nullptr) return std::nullopt;
  constexpr unsigned kStep = 64 * 1024;
  std::string bytes;
  for (;;) {
    const size_t used = bytes.size();
    bytes.resize(used + kStep);
    const int got = ::gzread(file.get(), bytes.data() + used, kStep);
    if (got < 0) return std::nullopt;
    bytes.resize(used + static_cast<size_t>(got));
    if (bytes.size() > max_bytes) return std::nullopt;
    if (got == 0) break;
  }
  int error = Z_OK;
  ::gzerror(file.get(), &error);
  if (error != Z_OK) return std::nullopt;
  bytes.shrink_to_fit();
  return bytes;
}

}  // namespace

std::string TargetFor(std::string_view relative_path) {
  std::string target = "/files/";
  for (unsigned char c : relative_path) {
    if (absl::ascii_isalnum(c) ||
        std::string_view("-._~/").find(static_cast<char>(c)) != std::string_view::npos) {
      target.push_back(static_cast<char>(c));
    } else {
      absl::StrAppend(&target, "%", absl::Hex(c, absl::kZeroPad2));
    }
  }
  return target;
}

absl::StatusOr<Corpus> ReadCorpus(const std::string& root, uint64_t seed,
                                  const CorpusLimits& limits) {
  std::error_code error;
  if (!fs::is_directory(root, error)) {
    return absl::NotFoundError(absl::StrCat(root, " is not a directory"));
  }
  std::vector<std::string> paths = RegularFilesBelow(root);
  std::sort(paths.begin(), paths.end());
  Shuffle(paths, seed);

  Corpus corpus;
  for (const std::string& path : paths) {
    if (corpus.documents.size() == limits.max_files) break;
    std::optional<std::string> body;
    if (CanBeNamed(path)) body = ReadDecompressed(fs::path(root) / path, limits.max_file_bytes);
    if (!body) {
      ++corpus.skipped;
      continue;
    }
    if (corpus.total_bytes + body->size() > limits.max_total_bytes) break;
    corpus.total_bytes += body->size();
    corpus.documents.push_back({TargetFor(path), *std::move(body)});
  }
  if (corpus.documents.empty()) {
    return absl::NotFoundError(absl::StrCat("there are no readable files below ", root));
  }
  return corpus;
}

}  // namespace resource_server::demo
