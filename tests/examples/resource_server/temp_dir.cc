#include "tests/examples/resource_server/temp_dir.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "examples/resource_server/unique_fd.h"

namespace resource_server::testing {
namespace {

constexpr unsigned kNobody = 65534;

void Check(bool done, std::string_view what) {
  if (done) return;
  ADD_FAILURE() << what << ": " << std::strerror(errno);
  std::abort();
}

}  // namespace

TempDir::TempDir() {
  std::string pattern = absl::StrCat(::testing::TempDir(), "/resource_server_XXXXXX");
  Check(::mkdtemp(pattern.data()) != nullptr, "mkdtemp");
  path_ = pattern;
  Check(::chmod(path_.c_str(), 0755) == 0, "chmod");
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::PathOf(std::string_view name) const { return absl::StrCat(path_, "/", name); }

void TempDir::Write(std::string_view name, std::string_view bytes) const {
  const std::filesystem::path path(PathOf(name));
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  Check(file.good(), "write");
}

void TempDir::MakeDirectory(std::string_view name) const {
  std::filesystem::create_directories(PathOf(name));
}

void TempDir::MakeLink(std::string_view name, std::string_view target) const {
  Check(::symlink(std::string(target).c_str(), PathOf(name).c_str()) == 0, "symlink");
}

void TempDir::MakeFifo(std::string_view name) const {
  Check(::mkfifo(PathOf(name).c_str(), 0666) == 0, "mkfifo");
}

void TempDir::MakeSocket(std::string_view name) const {
  // The path of a socket is short; the name of the directory may not be.
  const UniqueFd directory(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const std::string path = absl::StrCat("/proc/self/fd/", directory.get(), "/", name);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  Check(path.size() < sizeof(address.sun_path), "socket path");
  path.copy(address.sun_path, path.size());
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Check(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0,
        "bind");
}

void TempDir::MakeUnreadable(std::string_view name) const {
  Check(::chmod(PathOf(name).c_str(), 0) == 0, "chmod");
}

void TempDir::Remove(std::string_view name) const {
  Check(::unlink(PathOf(name).c_str()) == 0, "unlink");
}

OrdinaryUserScope::OrdinaryUserScope() {
  if (::geteuid() == 0) ::setfsuid(kNobody);
}

OrdinaryUserScope::~OrdinaryUserScope() {
  if (::geteuid() == 0) ::setfsuid(0);
}

std::string Gzip(std::string_view bytes) {
  z_stream stream = {};
  Check(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK,
        "deflateInit2");
  std::string out;
  out.resize(deflateBound(&stream, bytes.size()));
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  Check(deflate(&stream, Z_FINISH) == Z_STREAM_END, "deflate");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string RandomBytes(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

}  // namespace resource_server::testing
