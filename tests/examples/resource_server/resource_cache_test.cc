// Sharing and revalidation, with a source that does what it is told.

#include "examples/resource_server/resource_cache.h"

#include <gtest/gtest.h>

#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "examples/resource_server/metrics.h"
#include "examples/resource_server/resource.h"

namespace resource_server {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

// A file whose state is set by the test, and which counts how often it is looked at.
class FakeSource : public ResourceSource {
 public:
  absl::StatusOr<Resource> Load(const std::string& path) override {
    absl::MutexLock lock(&mutex_);
    ++loads_;
    if (path == "no memory") throw std::bad_alloc();
    if (path == "throws") throw std::runtime_error("on purpose");
    if (!error_.ok()) return error_;
    return Resource{.path = path,
                    .body = absl::StrCat("version ", version_),
                    .content_type = "text/plain",
                    .etag = "",
                    .identity = {.size = version_},
                    .identity_is_young = young_,
                    .freshness = Freshness(Clock::now())};
  }

  absl::StatusOr<FileIdentity> Identify(const std::string&) override {
    absl::MutexLock lock(&mutex_);
    ++looks_;
    mutex_.Await(absl::Condition(&open_));
    if (!error_.ok()) return error_;
    return FileIdentity{.size = version_};
  }

  void SetVersion(int version) {
    absl::MutexLock lock(&mutex_);
    version_ = version;
  }
  void SetYoung(bool young) {
    absl::MutexLock lock(&mutex_);
    young_ = young;
  }
  void SetError(absl::Status error) {
    absl::MutexLock lock(&mutex_);
    error_ = std::move(error);
  }
  void LetLooksPass(bool open) {
    absl::MutexLock lock(&mutex_);
    open_ = open;
  }
  int loads() {
    absl::MutexLock lock(&mutex_);
    return loads_;
  }
  int looks() {
    absl::MutexLock lock(&mutex_);
    return looks_;
  }

 private:
  absl::Mutex mutex_;
  int version_ ABSL_GUARDED_BY(mutex_) = 1;
  bool young_ ABSL_GUARDED_BY(mutex_) = false;
  bool open_ ABSL_GUARDED_BY(mutex_) = true;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  int loads_ ABSL_GUARDED_BY(mutex_) = 0;
  int looks_ ABSL_GUARDED_BY(mutex_) = 0;
};

class ResourceCacheTest : public ::testing::Test {
 protected:
  using Result = absl::StatusOr<ResourceRef>;

  ResourceCacheTest() { MakeCache(seconds(0)); }
  ~ResourceCacheTest() override { pool_.join(); }

  void MakeCache(Clock::duration revalidate) {
    cache_ =
        *ResourceCache::Create({.shards = 1, .revalidate = revalidate}, source_, pool_, metrics_);
  }

  std::future<Result> Ask(const std::string& path, Clock::time_point arrival) {
    std::promise<Result> promise;
    std::future<Result> future = promise.get_future();
    cache_->Get(path, arrival, [promise = std::move(promise)](Result result) mutable {
      promise.set_value(std::move(result));
    });
    return future;
  }

  // A request that arrives now.
  Result Get(const std::string& path) { return Ask(path, Clock::now()).get(); }

  std::string BodyOf(const std::string& path) {
    const Result result = Get(path);
    return result.ok() ? (*result)->body : result.status().ToString();
  }

  Metrics metrics_;
  FakeSource source_;
  boost::asio::thread_pool pool_{2};
  std::unique_ptr<ResourceCache> cache_;
};

TEST_F(ResourceCacheTest, HoldersShareOneObject) {
  MakeCache(hours(1));
  const ResourceRef first = *Get("f");
  const ResourceRef second = *Get("f");
  EXPECT_EQ(first.get(), second.get());
  EXPECT_EQ(source_.loads(), 1);
  EXPECT_EQ(source_.looks(), 0);
}

TEST_F(ResourceCacheTest, AFreshHitIsAnsweredWithinTheCall) {
  MakeCache(hours(1));
  const ResourceRef held = *Get("f");
  bool answered = false;
  cache_->Get("f", Clock::now(), [&answered](Result result) { answered = result.ok(); });
  EXPECT_TRUE(answered);
}

TEST_F(ResourceCacheTest, LooksAgainWhenItIsTimeAndKeepsWhatAgrees) {
  const ResourceRef held = *Get("f");
  EXPECT_EQ(Get("f")->get(), held.get());
  EXPECT_EQ(Get("f")->get(), held.get());
  EXPECT_EQ(source_.loads(), 1);
  EXPECT_EQ(source_.looks(), 2);
  EXPECT_EQ(metrics_.stale_resources.value(), 0);
}

TEST_F(ResourceCacheTest, ReplacesWhatDoesNotAgree) {
  const ResourceRef held = *Get("f");
  source_.SetVersion(2);
  EXPECT_EQ(BodyOf("f"), "version 2");
  EXPECT_EQ(held->body, "version 1") << "its holder keeps it";
  EXPECT_EQ(source_.loads(), 2);
  EXPECT_EQ(source_.looks(), 1) << "what was loaded after the request came needs no look";
  EXPECT_EQ(metrics_.stale_resources.value(), 1);
}

TEST_F(ResourceCacheTest, DoesNotBelieveAYoungIdentity) {
  source_.SetYoung(true);
  const ResourceRef first = *Get("f");
  source_.SetYoung(false);
  const ResourceRef second = *Get("f");
  EXPECT_NE(first.get(), second.get());
  EXPECT_EQ(Get("f")->get(), second.get());
}

TEST_F(ResourceCacheTest, WhatHasGoneIsNotServed) {
  const ResourceRef held = *Get("f");
  source_.SetError(absl::NotFoundError("gone"));
  EXPECT_EQ(Get("f").status().code(), absl::StatusCode::kNotFound);
  source_.SetError(absl::OkStatus());
  EXPECT_EQ(BodyOf("f"), "version 1");
}

TEST_F(ResourceCacheTest, OneLooksWhileTheOthersAreServed) {
  const ResourceRef held = *Get("f");
  source_.LetLooksPass(false);
  source_.SetVersion(2);
  std::future<Result> looking = Ask("f", Clock::now());
  // The first has claimed the look before Get returned, so these have none to do.
  EXPECT_EQ(BodyOf("f"), "version 1");
  EXPECT_EQ(BodyOf("f"), "version 1");
  source_.LetLooksPass(true);
  EXPECT_EQ((*looking.get())->body, "version 2");
  EXPECT_EQ(source_.looks(), 1);
}

TEST_F(ResourceCacheTest, ThrowingLoadsEndAsErrors) {
  EXPECT_EQ(Get("no memory").status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Get("throws").status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(BodyOf("f"), "version 1") << "the pool goes on";
  EXPECT_TRUE([&] {
    std::string text;
    cache_->AppendMetrics(text);
    return absl::StrContains(text, "weak_value_cache_load_failures_total 2\n");
  }());
}

TEST_F(ResourceCacheTest, RefusesShardsThatTheLibraryRefuses) {
  EXPECT_EQ(ResourceCache::Create({.shards = 3}, source_, pool_, metrics_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace resource_server
