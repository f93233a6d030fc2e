// Public through cache/cache_options.h.

#ifndef WEAKREF_CACHE_INTERNAL_WAIT_OPTIONS_H_
#define WEAKREF_CACHE_INTERNAL_WAIT_OPTIONS_H_

#include <stop_token>

#include "absl/time/time.h"

namespace weakref {

// How long one call may wait for somebody else's load.
struct WaitOptions {
  // The wait ends with kDeadlineExceeded then. Blocking calls only; for StartGetOrCreate, use
  // `stop`. It does not interrupt a loader that this very call runs.
  absl::Time deadline = absl::InfiniteFuture();
  // The wait ends with kCancelled when a stop is requested.
  std::stop_token stop = {};
};

}  // namespace weakref

#endif  // WEAKREF_CACHE_INTERNAL_WAIT_OPTIONS_H_
