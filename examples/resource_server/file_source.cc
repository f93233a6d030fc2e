#include "examples/resource_server/file_source.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "examples/resource_server/content_type.h"
#include "examples/resource_server/etag.h"
#include "examples/resource_server/gunzip.h"

namespace resource_server {
namespace {

// A file that changes while it is read is read again; one that never rests is not served.
constexpr int kMaxReads = 3;

// The clock of file times ticks with the scheduler, every 10 ms on the slowest of kernels. (File
// systems of the FAT family tick every 2 s; a change within one tick of them may go unnoticed.)
constexpr int64_t kFileTimeTickNs = 20'000'000;

int64_t WallClockNs() {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

absl::Status TooLarge() { return absl::OutOfRangeError("larger than this server serves"); }

// Reads to the end, whatever the size was said to be. A byte more than `max_bytes` is an error.
absl::StatusOr<std::string> ReadAll(int fd, int64_t expected_size, size_t max_bytes) {
  if (expected_size > 0 && static_cast<uint64_t>(expected_size) > max_bytes) return TooLarge();
  std::string bytes;
  // The byte more lets the read that meets the end be the one that fills the buffer.
  bytes.resize(static_cast<size_t>(std::max<int64_t>(expected_size, 0)) + 1);
  size_t used = 0;
  for (;;) {
    const ssize_t got = ::read(fd, bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::InternalError(absl::StrCat("read: ", std::strerror(errno)));
    if (got == 0) break;
    used += static_cast<size_t>(got);
    if (used > max_bytes) return TooLarge();
    if (used == bytes.size()) bytes.resize(std::min(bytes.size() * 2, max_bytes + 1));
  }
  bytes.resize(used);
  return bytes;
}

}  // namespace

FileSource::FileSource(RootDirectory root, size_t max_bytes)
    : root_(std::move(root)), max_bytes_(max_bytes) {}

absl::StatusOr<Resource> FileSource::Load(const std::string& path) {
  for (int attempt = 0; attempt < kMaxReads; ++attempt) {
    // Before the open: the resource agrees with the file as of this moment.
    const Clock::time_point checked = Clock::now();
    const int64_t wall_ns = WallClockNs();
    absl::StatusOr<OpenFile> file = root_.OpenRegular(path);
    if (!file.ok()) return file.status();
    absl::StatusOr<std::string> bytes = ReadAll(file->fd.get(), file->identity.size, max_bytes_);
    if (!bytes.ok()) return bytes.status();
    struct stat after;
    if (::fstat(file->fd.get(), &after) != 0 || IdentityOf(after) != file->identity) continue;

    const bool gunzip = IsGzip(*bytes);
    if (gunzip) {
      bytes = Gunzip(*bytes, max_bytes_);
      if (!bytes.ok()) return bytes.status();
    }
    std::string etag = MakeEtag(*bytes);
    return Resource{.path = path,
                    .body = *std::move(bytes),
                    .content_type = ContentTypeFor(path, gunzip),
                    .etag = std::move(etag),
                    .identity = file->identity,
                    .identity_is_young = file->identity.changed_ns > wall_ns - kFileTimeTickNs,
                    .freshness = Freshness(checked)};
  }
  return absl::UnavailableError("the file changes while it is read");
}

absl::StatusOr<FileIdentity> FileSource::Identify(const std::string& path) {
  return root_.Identify(path);
}

}  // namespace resource_server
