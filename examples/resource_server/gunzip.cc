#include "examples/resource_server/gunzip.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>

#include "absl/status/status.h"

namespace resource_server {
namespace {

// zlib: 15 bits of window, 16 for "a gzip header, not zlib's own".
constexpr int kGzipWindowBits = 15 + 16;

// The best that DEFLATE can do is 1032 to 1.
constexpr size_t kMaxRatio = 1032;

// The last four bytes of a gzip file give the size of its last member modulo 2^32. A hint that is
// right for nearly all files, and a lie for the others: it is cut to what the input could become.
size_t GuessSize(std::string_view compressed, size_t max_bytes) {
  if (compressed.size() < 18) return 64;
  const std::string_view tail = compressed.substr(compressed.size() - 4);
  size_t hint = 0;
  for (int i = 3; i >= 0; --i) hint = hint << 8 | static_cast<unsigned char>(tail[i]);
  return std::min({hint, max_bytes, compressed.size() * kMaxRatio});
}

// Feeds zlib, whose counters have 32 bits, from a string of any size into one that grows.
class Inflater {
 public:
  Inflater(std::string_view compressed, size_t max_bytes)
      : input_(compressed), max_bytes_(max_bytes) {
    if (inflateInit2(&stream_, kGzipWindowBits) != Z_OK) throw std::bad_alloc();
    // One byte more than allowed, so that "too much" shows as a byte too many.
    output_.resize(GuessSize(compressed, max_bytes) + 1);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream_); }

  // Decompresses the member at the front of the input.
  absl::Status ReadMember() {
    inflateReset(&stream_);
    for (;;) {
      if (used_ == output_.size()) {
        if (used_ > max_bytes_) return absl::OutOfRangeError("decompresses to too much");
        output_.resize(std::min(output_.size() * 2, max_bytes_ + 1));
      }
      const int result = Step();
      if (result == Z_STREAM_END) return CheckSize();
      // Z_BUF_ERROR: no progress was possible. There is room for output, so input is missing.
      if (result == Z_BUF_ERROR) return absl::DataLossError("gzip data is truncated");
      if (result == Z_MEM_ERROR) throw std::bad_alloc();
      if (result != Z_OK) return absl::DataLossError("gzip data is corrupt");
    }
  }

  std::string_view rest() const { return input_; }

  std::string Take() {
    output_.resize(used_);
    output_.shrink_to_fit();
    return std::move(output_);
  }

 private:
  int Step() {
    constexpr size_t kMaxStep = std::numeric_limits<uInt>::max();
    const size_t offered = std::min(input_.size(), kMaxStep);
    const size_t room = std::min(output_.size() - used_, kMaxStep);
    // zlib does not write to its input; its interface is older than const.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input_.data()));
    stream_.avail_in = static_cast<uInt>(offered);
    stream_.next_out = reinterpret_cast<Bytef*>(output_.data() + used_);
    stream_.avail_out = static_cast<uInt>(room);
    const int result = inflate(&stream_, Z_NO_FLUSH);
    input_.remove_prefix(offered - stream_.avail_in);
    used_ += room - stream_.avail_out;
    return result;
  }

  absl::Status CheckSize() const {
    if (used_ > max_bytes_) return absl::OutOfRangeError("decompresses to too much");
    return absl::OkStatus();
  }

  std::string_view input_;
  const size_t max_bytes_;
  z_stream stream_ = {};
  std::string output_;
  size_t used_ = 0;
};

}  // namespace

bool IsGzip(std::string_view bytes) {
  // The third byte is the method; DEFLATE is the only one there ever was.
  return bytes.substr(0, 3) == std::string_view("\x1f\x8b\x08", 3);
}

absl::StatusOr<std::string> Gunzip(std::string_view compressed, size_t max_bytes) {
  Inflater inflater(compressed, max_bytes);
  do {
    if (absl::Status status = inflater.ReadMember(); !status.ok()) return status;
  } while (IsGzip(inflater.rest()));
  if (inflater.rest().find_first_not_of('\0') != std::string_view::npos) {
    return absl::DataLossError("gzip data is followed by something else");
  }
  return inflater.Take();
}

}  // namespace resource_server
