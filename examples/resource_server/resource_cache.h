#ifndef EXAMPLES_RESOURCE_SERVER_RESOURCE_CACHE_H_
#define EXAMPLES_RESOURCE_SERVER_RESOURCE_CACHE_H_

#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "cache/weak_value_cache.h"
#include "examples/resource_server/freshness.h"
#include "examples/resource_server/metrics.h"
#include "examples/resource_server/resource.h"

namespace resource_server {

using ResourceRef = weakref::StrongRef<Resource>;

// The resources in use right now, each of them once. This is the one place where the server meets
// the library: who asks for a path gets the object that others are using already; if there is none,
// one request makes it on the load pool while the others wait without a thread.
//
// A resource lives as long as a response (or an idle connection that keeps it) uses it. A file that
// changed is noticed: a request that finds the last look at the file more than `revalidate` ago
// has the pool look again before it is answered, and if the file is another one now, the resource
// is invalidated and loaded anew; whoever still sends the old one finishes undisturbed. So a
// response is never older than `revalidate` plus the time that one look takes.
//
// Thread safety: all functions may run concurrently.
class ResourceCache {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<ResourceRef>)>;

  struct Options {
    size_t shards = 0;  // 0: the library's default
    Clock::duration revalidate = std::chrono::seconds(1);
  };

  // `source`, `pool` and `metrics` must outlive the last load, so the pool is to be joined first.
  // Returns: InvalidArgument for options that the library refuses.
  static absl::StatusOr<std::unique_ptr<ResourceCache>> Create(const Options& options,
                                                               ResourceSource& source,
                                                               boost::asio::thread_pool& pool,
                                                               Metrics& metrics);

  // Finds or loads `path` for a request that arrived at `arrival`. `done` runs exactly once: before
  // Get returns if the resource is there and fresh, else on a thread of the pool; only a pool that
  // is stopped may destroy it unrun. Concurrency: blocks on nothing.
  void Get(std::string_view path, Clock::time_point arrival, Done done);

  // Appends the library's own counters in Prometheus' text format.
  void AppendMetrics(std::string& text) const;

 private:
  using Cache = weakref::WeakValueCache<std::string, Resource>;

  ResourceCache(const Options& options, ResourceSource& source, boost::asio::thread_pool& pool,
                Metrics& metrics);

  template <class Continuation>
  void FindOrLoad(std::string_view path, Continuation continuation);
  void StartLoad(const std::string& path, weakref::LoadCompletion<Resource> completion);
  void StartCheck(ResourceRef resource, Done done);

  const Clock::duration revalidate_;
  ResourceSource& source_;
  boost::asio::thread_pool& pool_;
  Metrics& metrics_;
  Cache cache_;
};

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_RESOURCE_CACHE_H_
