#include "examples/resource_server/resource_cache.h"

#include <boost/asio/post.hpp>
#include <exception>
#include <new>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "examples/resource_server/prometheus.h"

namespace resource_server {
namespace {

// What the source says, or what it threw as a status: a load must end in a result whatever happens
// to it, and an exception that left the pool's thread would end the process.
template <class Call>
std::invoke_result_t<Call> ResultOf(Call call) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory");
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
}

bool StillAgrees(const Resource& resource, const absl::StatusOr<FileIdentity>& now) {
  return now.ok() && !resource.identity_is_young && *now == resource.identity;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ResourceCache>> ResourceCache::Create(const Options& options,
                                                                     ResourceSource& source,
                                                                     boost::asio::thread_pool& pool,
                                                                     Metrics& metrics) {
  try {
    return std::unique_ptr<ResourceCache>(new ResourceCache(options, source, pool, metrics));
  } catch (const weakref::CacheError& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

ResourceCache::ResourceCache(const Options& options, ResourceSource& source,
                             boost::asio::thread_pool& pool, Metrics& metrics)
    : revalidate_(options.revalidate),
      source_(source),
      pool_(pool),
      metrics_(metrics),
      cache_({.shards = options.shards, .name = "resources"}) {}

void ResourceCache::Get(std::string_view path, Clock::time_point arrival, Done done) {
  FindOrLoad(path,
             [this, arrival, done = std::move(done)](absl::StatusOr<ResourceRef> resource) mutable {
               if (resource.ok() && !(*resource)->freshness.Covers(arrival, revalidate_) &&
                   (*resource)->freshness.TryBeginCheck()) {
                 StartCheck(*std::move(resource), std::move(done));
               } else {
                 done(std::move(resource));
               }
             });
}

template <class Continuation>
void ResourceCache::FindOrLoad(std::string_view path, Continuation continuation) {
  cache_.StartGetOrCreate(
      path,
      [this](const std::string& key, weakref::LoadContext&,
             weakref::LoadCompletion<Resource> completion) {
        StartLoad(key, std::move(completion));
      },
      std::move(continuation));
}

void ResourceCache::StartLoad(const std::string& path,
                              weakref::LoadCompletion<Resource> completion) {
  // The key, which `path` is, lives until the completion. Should the pool be stopped, it destroys
  // the task and with it the completion, which completes as cancelled: nobody waits for ever.
  boost::asio::post(
      pool_, [this, &path, begun = Clock::now(), completion = std::move(completion)]() mutable {
        absl::StatusOr<Resource> resource = ResultOf([&] { return source_.Load(path); });
        // Waiting for a thread of the pool is included: it is what the requests wait for.
        metrics_.load_duration.Observe(Clock::now() - begun);
        completion.Complete(std::move(resource));
      });
}

void ResourceCache::StartCheck(ResourceRef resource, Done done) {
  boost::asio::post(
      pool_, [this, resource = std::move(resource), done = std::move(done)]() mutable {
        const Clock::time_point now = Clock::now();
        const auto identity = ResultOf([&] { return source_.Identify(resource->path); });
        if (StillAgrees(*resource, identity)) {
          resource->freshness.EndCheck(now);
          done(std::move(resource));
          return;
        }
        // As long as we hold it, nothing but this call can have taken its place, so it is this one
        // that goes and not a successor. The load that follows begins after the request arrived
        // (invalidation fences those that began before), so its result needs no check.
        const std::string path = resource->path;
        cache_.Invalidate(path);
        resource.reset();
        metrics_.stale_resources.Increment();
        FindOrLoad(path, std::move(done));
      });
}

void ResourceCache::AppendMetrics(std::string& text) const {
  const weakref::CacheStats stats = cache_.Stats();
  PrometheusWriter writer(text);
  writer.Counter("weak_value_cache_hits_total", "Requests that found a live resource.", stats.hits);
  writer.Counter("weak_value_cache_misses_total", "Requests that found no live resource.",
                 stats.misses);
  writer.Counter("weak_value_cache_loads_total", "Loads started.", stats.loads);
  writer.Counter("weak_value_cache_load_failures_total", "Loads that failed.", stats.load_failures);
  writer.Counter("weak_value_cache_loads_shared_total",
                 "Requests that joined a load which another request had started.",
                 stats.loads_shared);
  writer.Counter("weak_value_cache_superseded_total",
                 "Entries and loads replaced by an insertion (this server makes none).",
                 stats.superseded);
  writer.Counter("weak_value_cache_invalidated_total",
                 "Entries put aside because the file changed.", stats.invalidated);
  writer.Counter("weak_value_cache_deaths_total",
                 "Resources destroyed because their last user let go.", stats.deaths);
  writer.Gauge("weak_value_cache_live_entries", "Resources in use.", stats.live);
  writer.Gauge("weak_value_cache_loading_entries", "Loads in progress.", stats.loading);
}

}  // namespace resource_server
