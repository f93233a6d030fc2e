#include "examples/resource_server/server.h"

#include <boost/asio/ip/address.hpp>
#include <csignal>
#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "examples/resource_server/file_source.h"
#include "examples/resource_server/safe_open.h"

namespace resource_server {
namespace {

size_t ThreadCount(size_t wanted) {
  if (wanted > 0) return wanted;
  const size_t cpus = std::thread::hardware_concurrency();
  return cpus > 0 ? cpus : 1;
}

absl::StatusOr<std::unique_ptr<ResourceSource>> OpenSource(const ServerOptions& options) {
  absl::StatusOr<RootDirectory> root = RootDirectory::Open(options.root);
  if (!root.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--root=", options.root, ": ", root.status().message()));
  }
  return std::make_unique<FileSource>(*std::move(root), options.max_file_bytes);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Create(const ServerOptions& options, Logger log,
                                                       std::unique_ptr<ResourceSource> source) {
  if (source == nullptr) {
    absl::StatusOr<std::unique_ptr<ResourceSource>> files = OpenSource(options);
    if (!files.ok()) return files.status();
    source = *std::move(files);
  }
  std::unique_ptr<Server> server(new Server(options, std::move(log), std::move(source)));
  if (absl::Status status = server->Prepare(); !status.ok()) return status;
  return server;
}

Server::Server(const ServerOptions& options, Logger log, std::unique_ptr<ResourceSource> source)
    : options_(options),
      log_(std::move(log)),
      source_(std::move(source)),
      connections_(options.max_connections),
      work_(boost::asio::make_work_guard(io_)),
      signals_(io_),
      drain_timer_(io_),
      pool_(options.load_threads) {}

absl::Status Server::Prepare() {
  absl::StatusOr<std::unique_ptr<ResourceCache>> cache = ResourceCache::Create(
      {.shards = options_.shards, .revalidate = options_.revalidate}, *source_, pool_, metrics_);
  if (!cache.ok()) return cache.status();
  cache_ = *std::move(cache);
  const ConnectionLimits limits = {.max_request_bytes = options_.max_request_bytes,
                                   .header_timeout = options_.header_timeout,
                                   .load_timeout = options_.load_timeout,
                                   .idle_timeout = options_.idle_timeout,
                                   .write_timeout = options_.write_timeout,
                                   .hold_last = options_.hold_last};
  context_ = std::make_unique<ConnectionContext>(
      ConnectionContext{limits, *cache_, metrics_, log_, connections_});
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(options_.listen_address, error);
  if (error) return absl::InvalidArgumentError("the address to listen on is not an IP address");
  absl::StatusOr<std::shared_ptr<Listener>> listener =
      Listener::Bind(io_, {address, options_.listen_port}, *context_);
  if (!listener.ok()) return listener.status();
  listener_ = *std::move(listener);
  return absl::OkStatus();
}

Server::~Server() {
  Abort();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  connections_.DropCallbacks();
}

void Server::Start() {
  for (size_t i = 0; i < ThreadCount(options_.threads); ++i) {
    threads_.emplace_back([this] { Serve(); });
  }
  listener_->Start();
}

void Server::Serve() {
  for (;;) {
    try {
      io_.run();
      return;
    } catch (const std::exception& error) {
      // Out of memory, most likely. The operation that threw is gone and its connection with it;
      // the others go on.
      log_.Error("a connection failed", {{"reason", error.what()}});
    }
  }
}

void Server::StopOnSignals() {
  signals_.add(SIGINT);
  signals_.add(SIGTERM);
  signals_.async_wait([this](boost::system::error_code error, int signal) {
    if (error) return;
    log_.Info("stopping", {{"signal", absl::StrCat(signal)}});
    signals_.async_wait([this](boost::system::error_code second_error, int) {
      if (!second_error) Abort();
    });
    BeginStop();
  });
}

void Server::BeginStop() {
  {
    absl::MutexLock lock(&mutex_);
    if (state_ != State::kServing) return;
    state_ = State::kDraining;
  }
  listener_->Stop([this] { DrainConnections(); });
}

void Server::DrainConnections() {
  drain_timer_.expires_after(options_.drain_timeout);
  drain_timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    log_.Warn("drain timed out",
              {{"in_flight", absl::StrCat(metrics_.requests_in_flight.value())}});
    Abort();
  });
  for (const std::shared_ptr<Connection>& connection : connections_.Snapshot()) {
    connection->Drain();
  }
  connections_.NotifyWhenEmpty([this] { Finish(State::kDrained); });
}

void Server::Abort() { Finish(State::kAborted); }

void Server::Finish(State state) {
  {
    absl::MutexLock lock(&mutex_);
    if (state_ == State::kDrained || state_ == State::kAborted) return;
    state_ = state;
  }
  io_.stop();
}

bool Server::Wait() {
  bool drained = false;
  {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](Server* server) ABSL_EXCLUSIVE_LOCKS_REQUIRED(server->mutex_) {
          return server->state_ == State::kDrained || server->state_ == State::kAborted;
        },
        this));
    drained = state_ == State::kDrained;
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  return drained;
}

}  // namespace resource_server
