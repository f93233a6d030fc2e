#include "tests/examples/resource_server/test_server.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "examples/resource_server/log.h"
#include "examples/resource_server/safe_open.h"

namespace resource_server::testing {

void Gate::Shut(const std::string& path) {
  absl::MutexLock lock(&mutex_);
  shut_.insert(path);
}

void Gate::Open(const std::string& path) {
  absl::MutexLock lock(&mutex_);
  shut_.erase(path);
}

void Gate::AwaitLoad(const std::string& path) {
  absl::MutexLock lock(&mutex_);
  const auto waits = [this, &path]()
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return waiting_.contains(path); };
  mutex_.Await(absl::Condition(&waits));
}

int Gate::LoadsOf(const std::string& path) {
  absl::MutexLock lock(&mutex_);
  return loads_[path];
}

void Gate::Pass(const std::string& path) {
  absl::MutexLock lock(&mutex_);
  ++loads_[path];
  if (!shut_.contains(path)) return;
  waiting_.insert(path);
  const auto open = [this, &path]()
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !shut_.contains(path); };
  mutex_.Await(absl::Condition(&open));
  waiting_.erase(path);
}

absl::StatusOr<Resource> GatedSource::Load(const std::string& path) {
  gate_.Pass(path);
  const OrdinaryUserScope ordinary;
  return files_.Load(path);
}

absl::StatusOr<FileIdentity> GatedSource::Identify(const std::string& path) {
  return files_.Identify(path);
}

ServerOptions PatientOptions() {
  ServerOptions options;
  options.listen_port = 0;
  options.threads = 2;
  options.load_threads = 2;
  options.header_timeout = std::chrono::hours(1);
  options.load_timeout = std::chrono::hours(1);
  options.idle_timeout = std::chrono::hours(1);
  options.write_timeout = std::chrono::hours(1);
  options.drain_timeout = std::chrono::hours(1);
  return options;
}

TestServer::TestServer(ServerOptions options) {
  options.root = files_.path();
  FileSource source(*RootDirectory::Open(options.root), options.max_file_bytes);
  Logger log([this](std::string_view line) {
    absl::MutexLock lock(&mutex_);
    log_lines_.emplace_back(line);
  });
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Create(
      options, std::move(log), std::make_unique<GatedSource>(std::move(source), gate_));
  if (!server.ok()) {
    std::cerr << server.status() << std::endl;
    std::abort();
  }
  server_ = *std::move(server);
  server_->Start();
}

TestServer::~TestServer() = default;

uint64_t TestServer::Metric(const std::string& name) const {
  const RawResponse response = RawClient(port()).Get("/metrics", "Connection: close\r\n");
  for (std::string_view line : absl::StrSplit(response.body, '\n')) {
    const std::pair<std::string_view, std::string_view> sample = absl::StrSplit(line, ' ');
    uint64_t value = 0;
    if (sample.first == name && absl::SimpleAtoi(sample.second, &value)) return value;
  }
  ADD_FAILURE() << "no metric " << name;
  return 0;
}

std::vector<std::string> TestServer::LogLines() {
  absl::MutexLock lock(&mutex_);
  return log_lines_;
}

void AwaitCondition(std::string_view what, const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (!condition()) {
    if (absl::Now() > deadline) {
      ADD_FAILURE() << "in vain: " << what;
      return;
    }
    absl::SleepFor(absl::Milliseconds(1));  // between two looks; no result depends on how long
  }
}

}  // namespace resource_server::testing
