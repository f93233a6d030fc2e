#include "examples/resource_server/safe_open.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace resource_server {
namespace {

// O_NONBLOCK: the open of a FIFO would wait for its writer. What the path led to is known only
// afterwards, by fstat.
constexpr int kReadFlags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
constexpr int kIdentifyFlags = O_PATH | O_CLOEXEC;
constexpr int kDirectoryFlags = O_PATH | O_DIRECTORY | O_CLOEXEC;

// openat2 answers EAGAIN when a rename elsewhere keeps it from proving that it stayed below. Under
// a storm of renames no number is enough; the client is told to come again.
constexpr int kMaxResolveAttempts = 64;

absl::Status StatusForErrno(int error) {
  const std::string message = absl::StrCat("open: ", std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ENXIO:  // a socket, or a device without a driver
    case ENODEV:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EXDEV:  // RESOLVE_BENEATH: a link out of the root
    case ELOOP:  // O_NOFOLLOW: a link; openat2: a loop of links
      return absl::PermissionDeniedError(message);
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::ResourceExhaustedError(message);
    case EAGAIN:
      return absl::UnavailableError(message);
    default:
      return absl::InternalError(message);
  }
}

int Openat2(int directory, const char* path, int flags) {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, directory, path, &how, sizeof(how)));
}

absl::StatusOr<UniqueFd> OpenBeneath(int root, const std::string& path, int flags) {
  for (int attempt = 0; attempt < kMaxResolveAttempts; ++attempt) {
    UniqueFd fd(Openat2(root, path.c_str(), flags));
    if (fd) return fd;
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return StatusForErrno(errno);
}

// With O_PATH and O_DIRECTORY a link is ENOTDIR, like any other file that is no directory.
bool IsLink(int directory, const std::string& name) {
  struct stat info;
  return ::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISLNK(info.st_mode);
}

absl::StatusOr<UniqueFd> OpenByWalking(int root, const std::string& path, int flags) {
  const std::vector<std::string> components = absl::StrSplit(path, '/');
  UniqueFd directory;
  int at = root;
  for (size_t i = 0; i < components.size(); ++i) {
    // The caller's business already; but here it is what keeps the walk below the root.
    if (components[i].empty() || components[i] == "..") return StatusForErrno(EXDEV);
    const bool last = i + 1 == components.size();
    UniqueFd next(
        ::openat(at, components[i].c_str(), (last ? flags : kDirectoryFlags) | O_NOFOLLOW));
    if (!next) {
      const int error = errno;
      return StatusForErrno(error == ENOTDIR && IsLink(at, components[i]) ? ELOOP : error);
    }
    directory = std::move(next);
    at = directory.get();
  }
  return directory;
}

absl::StatusOr<FileIdentity> IdentifyRegular(int fd) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return StatusForErrno(errno);
  if (S_ISLNK(info.st_mode)) return StatusForErrno(ELOOP);
  if (!S_ISREG(info.st_mode)) return absl::NotFoundError("not a regular file");
  return IdentityOf(info);
}

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

FileIdentity IdentityOf(const struct stat& info) {
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .size = info.st_size,
          .modified_ns = Nanoseconds(info.st_mtim),
          .changed_ns = Nanoseconds(info.st_ctim)};
}

RootDirectory::RootDirectory(UniqueFd fd, Resolver resolver)
    : fd_(std::move(fd)), resolver_(resolver) {}

absl::StatusOr<RootDirectory> RootDirectory::Open(const std::string& path, Resolver resolver) {
  UniqueFd fd(::open(path.c_str(), kDirectoryFlags));
  if (!fd) return StatusForErrno(errno);
  if (resolver == Resolver::kBest) {
    // Old kernels say ENOSYS, sandboxes that do not know the call EPERM.
    const UniqueFd probe(Openat2(fd.get(), ".", kDirectoryFlags));
    resolver = probe ? Resolver::kOpenat2 : Resolver::kWalk;
  }
  return RootDirectory(std::move(fd), resolver);
}

absl::StatusOr<UniqueFd> RootDirectory::Resolve(const std::string& path, int flags) const {
  return resolver_ == Resolver::kOpenat2 ? OpenBeneath(fd_.get(), path, flags)
                                         : OpenByWalking(fd_.get(), path, flags);
}

absl::StatusOr<OpenFile> RootDirectory::OpenRegular(const std::string& path) const {
  absl::StatusOr<UniqueFd> fd = Resolve(path, kReadFlags);
  if (!fd.ok()) return fd.status();
  const absl::StatusOr<FileIdentity> identity = IdentifyRegular(fd->get());
  if (!identity.ok()) return identity.status();
  return OpenFile{*std::move(fd), *identity};
}

absl::StatusOr<FileIdentity> RootDirectory::Identify(const std::string& path) const {
  const absl::StatusOr<UniqueFd> fd = Resolve(path, kIdentifyFlags);
  if (!fd.ok()) return fd.status();
  return IdentifyRegular(fd->get());
}

}  // namespace resource_server
