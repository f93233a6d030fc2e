// What the cache itself reports. Where a loader returns absl::StatusOr, these come as statuses with
// the same codes and messages; otherwise CacheError is thrown.

#ifndef WEAKREF_CACHE_CACHE_ERROR_H_
#define WEAKREF_CACHE_CACHE_ERROR_H_

#include <stdexcept>
#include <string>
#include <utility>

#include "absl/status/status.h"

namespace weakref {

// code()                       meaning
//   kInvalidArgument           an option that makes no sense; a loader that returned null
//   kFailedPrecondition        a load that would wait for itself (recursion, cycle of loads);
//                              the cache has been closed
//   kDeadlineExceeded          the wait's deadline passed; the load goes on for the others
//   kCancelled                 the wait's stop token, the cache's end, or a load that nobody
//   finished anything else              what a joined load's StatusOr loader reported
class CacheError : public std::runtime_error {
 public:
  explicit CacheError(absl::Status status)
      : std::runtime_error(std::string(status.message())), status_(std::move(status)) {}
  absl::StatusCode code() const { return status_.code(); }
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

}  // namespace weakref

#endif  // WEAKREF_CACHE_CACHE_ERROR_H_
