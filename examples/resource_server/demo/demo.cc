#include "examples/resource_server/demo/demo.h"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "examples/resource_server/demo/child_process.h"
#include "examples/resource_server/demo/corpus.h"
#include "examples/resource_server/demo/report.h"
#include "examples/resource_server/demo/scrape.h"
#include "examples/resource_server/demo/session.h"
#include "examples/resource_server/demo/tally.h"
#include "examples/resource_server/demo/zipf.h"

namespace resource_server::demo {
namespace {

namespace net = boost::asio;

constexpr double kSkew = 1.0;
constexpr absl::Duration kStartTimeout = absl::Seconds(30);
constexpr absl::Duration kQuietTimeout = absl::Seconds(10);
constexpr absl::Duration kExitTimeout = absl::Seconds(60);

uint64_t SeedFrom(const DemoOptions& options) {
  return options.seed != 0 ? options.seed : std::random_device()();
}

size_t ThreadsFrom(const DemoOptions& options) {
  if (options.threads != 0) return options.threads;
  return std::max<size_t>(1, std::thread::hardware_concurrency() / 2);
}

absl::StatusOr<net::ip::tcp::endpoint> AwaitEndpoint(ChildProcess& server) {
  const absl::StatusOr<std::string> address = server.AwaitLine("listening on ", kStartTimeout);
  if (!address.ok()) return address.status();
  const size_t colon = address->rfind(':');
  boost::system::error_code error;
  unsigned port = 0;
  const net::ip::address host = net::ip::make_address(address->substr(0, colon), error);
  if (error || colon == std::string::npos || !absl::SimpleAtoi(address->substr(colon + 1), &port)) {
    return absl::InternalError(absl::StrCat("it listens on \"", *address, "\""));
  }
  return net::ip::tcp::endpoint(host, static_cast<uint16_t>(port));
}

// Runs the clients for the given time, showing how it goes; returns how long they ran.
absl::Duration RunSessions(const DemoOptions& options, uint64_t seed, Workload& workload) {
  net::io_context io;
  for (size_t i = 0; i < options.clients; ++i) {
    std::make_shared<Session>(io, workload, seed + i)->Start();
  }
  const absl::Time begin = absl::Now();
  std::vector<std::thread> threads;
  for (size_t i = 0; i < ThreadsFrom(options); ++i) threads.emplace_back([&io] { io.run(); });

  Progress progress;
  const absl::Time end = begin + absl::Seconds(options.seconds);
  // A run that has failed need not go on.
  while (absl::Now() < end && workload.tally.failures() + workload.tally.mismatches() == 0) {
    absl::SleepFor(std::min(progress.interval(), end - absl::Now()));
    const absl::StatusOr<Samples> samples = Scrape(workload.server);
    progress.Show(absl::Now() - begin, workload.tally, samples.ok() ? *samples : Samples());
  }
  progress.Done();
  workload.stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  return absl::Now() - begin;
}

// With all clients gone nobody uses a resource, so none may be left, nor any request in flight but
// the one that asks.
absl::StatusOr<Samples> AwaitQuiet(const net::ip::tcp::endpoint& server) {
  const absl::Time deadline = absl::Now() + kQuietTimeout;
  for (;;) {
    absl::StatusOr<Samples> samples = Scrape(server);
    if (!samples.ok()) return samples;
    const bool quiet = ValueOf(*samples, "weak_value_cache_live_entries") == 0 &&
                       ValueOf(*samples, "weak_value_cache_loading_entries") == 0 &&
                       ValueOf(*samples, "resource_server_requests_in_flight") == 1;
    if (quiet || absl::Now() > deadline) return samples;
    absl::SleepFor(absl::Milliseconds(10));
  }
}

// What must hold of a server at rest; empty if it does.
std::string FaultAtRest(const Samples& samples) {
  const uint64_t live = ValueOf(samples, "weak_value_cache_live_entries");
  if (live != 0) return absl::StrCat(live, " entries are live though nobody uses them");
  const uint64_t loaded = ValueOf(samples, "weak_value_cache_loads_total") -
                          ValueOf(samples, "weak_value_cache_load_failures_total");
  const uint64_t deaths = ValueOf(samples, "weak_value_cache_deaths_total");
  if (loaded != deaths) return absl::StrCat(loaded, " resources were made but ", deaths, " died");
  return "";
}

// Asks the server to end; returns what was wrong with the way it did.
std::string StopServer(ChildProcess& server) {
  server.Signal(SIGTERM);
  const absl::StatusOr<int> status = server.AwaitExit(kExitTimeout);
  if (!status.ok()) return absl::StrCat("after SIGTERM the server ", status.status().message());
  if (*status != 0) return absl::StrCat("after SIGTERM the server exited with ", *status);
  return "";
}

int GiveUp(std::string_view reason, ChildProcess* server) {
  if (server != nullptr) {
    for (const std::string& line : server->LastLines()) absl::PrintF("server: %s\n", line);
  }
  absl::PrintF("demo: FAILED, %s\n", reason);
  return 1;
}

}  // namespace

int RunDemo(const DemoOptions& options) {
  const uint64_t seed = SeedFrom(options);
  absl::PrintF("demo: seed %u, reading %s\n", seed, options.root);
  std::fflush(stdout);
  const absl::StatusOr<Corpus> corpus = ReadCorpus(options.root, seed);
  if (!corpus.ok()) return GiveUp(corpus.status().message(), nullptr);

  const absl::StatusOr<std::unique_ptr<ChildProcess>> server = ChildProcess::Start(
      {options.server, "--listen=127.0.0.1:0", absl::StrCat("--root=", options.root),
       absl::StrCat("--max-connections=", options.clients + 16)});
  if (!server.ok()) return GiveUp(server.status().message(), nullptr);
  const absl::StatusOr<net::ip::tcp::endpoint> endpoint = AwaitEndpoint(**server);
  if (!endpoint.ok()) {
    return GiveUp(absl::StrCat("the server ", endpoint.status().message()), server->get());
  }
  absl::PrintF("demo: %u files, %.1f MB; %u clients for %u s\n", corpus->documents.size(),
               static_cast<double>(corpus->total_bytes) * 1e-6, options.clients, options.seconds);
  std::fflush(stdout);

  const Zipf popularity(corpus->documents.size(), kSkew);
  Tally tally;
  Workload workload{
      .server = *endpoint, .corpus = *corpus, .popularity = popularity, .tally = tally};
  const absl::Duration elapsed = RunSessions(options, seed, workload);

  const absl::StatusOr<Samples> samples = AwaitQuiet(*endpoint);
  if (!samples.ok()) return GiveUp(samples.status().message(), server->get());
  std::string fault = FaultAtRest(*samples);
  const std::string stop_fault = StopServer(**server);
  if (fault.empty()) fault = stop_fault;
  return Report({.elapsed = elapsed,
                 .tally = tally,
                 .samples = *samples,
                 .fault = fault,
                 .server_lines = (*server)->LastLines()});
}

}  // namespace resource_server::demo
