#ifndef TESTS_EXAMPLES_RESOURCE_SERVER_TEMP_DIR_H_
#define TESTS_EXAMPLES_RESOURCE_SERVER_TEMP_DIR_H_

#include <string>
#include <string_view>

namespace resource_server::testing {

// A directory with files, removed in the end.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  const std::string& path() const { return path_; }
  std::string PathOf(std::string_view name) const;

  // Writes a file, and the directories it needs, in place: an existing file keeps its inode.
  void Write(std::string_view name, std::string_view bytes) const;
  void MakeDirectory(std::string_view name) const;
  void MakeLink(std::string_view name, std::string_view target) const;
  void MakeFifo(std::string_view name) const;
  void MakeSocket(std::string_view name) const;
  // Nobody may read it, except who may everything.
  void MakeUnreadable(std::string_view name) const;
  void Remove(std::string_view name) const;

 private:
  std::string path_;
};

// Makes the calling thread an ordinary user to the file system for as long as it lives: permissions
// mean nothing to root, which tests may run as. Does nothing for others.
class OrdinaryUserScope {
 public:
  OrdinaryUserScope();
  OrdinaryUserScope(const OrdinaryUserScope&) = delete;
  OrdinaryUserScope& operator=(const OrdinaryUserScope&) = delete;
  ~OrdinaryUserScope();
};

// `bytes` as one gzip member.
std::string Gzip(std::string_view bytes);

// `size` bytes that do not compress, the same for the same seed.
std::string RandomBytes(size_t size, unsigned seed);

}  // namespace resource_server::testing

#endif  // TESTS_EXAMPLES_RESOURCE_SERVER_TEMP_DIR_H_
