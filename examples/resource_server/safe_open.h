#ifndef EXAMPLES_RESOURCE_SERVER_SAFE_OPEN_H_
#define EXAMPLES_RESOURCE_SERVER_SAFE_OPEN_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "examples/resource_server/unique_fd.h"

struct stat;

namespace resource_server {

// What tells one state of a file from another without reading it.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t size = 0;
  int64_t modified_ns = 0;
  // The inode's change time. Unlike the modification time nobody can set it back.
  int64_t changed_ns = 0;

  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

FileIdentity IdentityOf(const struct stat& info);

struct OpenFile {
  UniqueFd fd;
  FileIdentity identity;
};

// How a path is kept below its root.
enum class Resolver {
  // openat2(2) where the kernel has it, else kWalk.
  kBest,
  // One system call with RESOLVE_BENEATH; symbolic links are followed as long as they stay below.
  kOpenat2,
  // One openat(2) with O_NOFOLLOW a component. Follows no symbolic link at all: a check of where a
  // link leads, made before the open, could be outrun by whoever may change the link.
  kWalk,
};

// A directory whose regular files may be opened, and nothing else, whatever the path says.
//
// Blocks on the file system; call it on threads made for that. Thread safety: const functions may
// run concurrently.
class RootDirectory {
 public:
  static absl::StatusOr<RootDirectory> Open(const std::string& path,
                                            Resolver resolver = Resolver::kBest);

  // Opens `path`, relative and as made by ParseTarget, for reading. Never waits for a FIFO's writer
  // nor acquires a terminal.
  // Returns: NotFound for what is absent or no regular file (directories, FIFOs, sockets, devices);
  // PermissionDenied for what may not be read or lies behind a link out of the root;
  // ResourceExhausted when descriptors run out; Unavailable when it keeps changing underneath.
  absl::StatusOr<OpenFile> OpenRegular(const std::string& path) const;

  // The identity of what OpenRegular would open, without opening it. Same errors, except that it
  // needs no permission to read.
  absl::StatusOr<FileIdentity> Identify(const std::string& path) const;

  Resolver resolver() const { return resolver_; }

 private:
  RootDirectory(UniqueFd fd, Resolver resolver);

  absl::StatusOr<UniqueFd> Resolve(const std::string& path, int flags) const;

  UniqueFd fd_;
  Resolver resolver_;
};

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_SAFE_OPEN_H_
