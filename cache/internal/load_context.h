// LoadContext; public through cache/load_context.h.

#ifndef WEAKREF_CACHE_INTERNAL_LOAD_CONTEXT_H_
#define WEAKREF_CACHE_INTERNAL_LOAD_CONTEXT_H_

#include <stop_token>
#include <utility>

namespace weakref {

// Valid until the load has been completed. Thread-safe.
class LoadContext {
 public:
  explicit LoadContext(std::stop_token stop) : stop_(std::move(stop)) {}
  LoadContext(const LoadContext&) = delete;
  LoadContext& operator=(const LoadContext&) = delete;

  // A stop is requested when nobody waits for an asynchronous load any more, or the cache has
  // ended. A blocking load's caller always waits: its token never stops.
  std::stop_token stop_token() const { return stop_; }

 private:
  const std::stop_token stop_;
};

}  // namespace weakref

#endif  // WEAKREF_CACHE_INTERNAL_LOAD_CONTEXT_H_
