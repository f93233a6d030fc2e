#include "examples/resource_server/demo/report.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace resource_server::demo {
namespace {

void Row(std::string_view name, std::string_view value) {
  absl::PrintF("  %-28s %14s\n", name, value);
}

std::string Grouped(uint64_t number) {
  std::string text = absl::StrCat(number);
  for (size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ' ');
  return text;
}

std::string Milliseconds(std::chrono::microseconds time) {
  return absl::StrFormat("%.2f ms", static_cast<double>(time.count()) * 1e-3);
}

void PrintTable(const Outcome& outcome) {
  const double seconds = absl::ToDoubleSeconds(outcome.elapsed);
  const Tally& tally = outcome.tally;
  const auto rate = static_cast<uint64_t>(static_cast<double>(tally.verified()) / seconds);
  const auto of = [&outcome](std::string_view name) {
    return Grouped(ValueOf(outcome.samples, name));
  };
  std::printf("\n");
  Row("requests per second", Grouped(rate));
  Row("latency p50", Milliseconds(tally.LatencyQuantile(0.5)));
  Row("latency p99", Milliseconds(tally.LatencyQuantile(0.99)));
  Row("bytes of bodies", Grouped(tally.body_bytes()));
  Row("cache hits", of("weak_value_cache_hits_total"));
  Row("loads", of("weak_value_cache_loads_total"));
  Row("requests that shared a load", of("weak_value_cache_loads_shared_total"));
  Row("deaths", of("weak_value_cache_deaths_total"));
  Row("live entries at the end", of("weak_value_cache_live_entries"));
  std::printf("\n");
}

}  // namespace

Progress::Progress() : terminal_(::isatty(STDOUT_FILENO) == 1) {}

absl::Duration Progress::interval() const {
  return terminal_ ? absl::Milliseconds(250) : absl::Seconds(2);
}

void Progress::Show(absl::Duration elapsed, const Tally& tally, const Samples& samples) {
  const uint64_t verified = tally.verified();
  const double seconds = absl::ToDoubleSeconds(elapsed - last_elapsed_);
  const double rate = static_cast<double>(verified - last_verified_) / seconds;
  last_elapsed_ = elapsed;
  last_verified_ = verified;
  absl::PrintF("%s%5.1f s  %9.0f requests/s  %10s verified  %5s live  %9s loads  %7s shared%s",
               terminal_ ? "\r" : "", absl::ToDoubleSeconds(elapsed), rate, Grouped(verified),
               Grouped(ValueOf(samples, "weak_value_cache_live_entries")),
               Grouped(ValueOf(samples, "weak_value_cache_loads_total")),
               Grouped(ValueOf(samples, "weak_value_cache_loads_shared_total")),
               terminal_ ? "" : "\n");
  std::fflush(stdout);
}

void Progress::Done() {
  if (terminal_) std::printf("\n");
}

int Report(const Outcome& outcome) {
  const Tally& tally = outcome.tally;
  PrintTable(outcome);
  const bool good = tally.mismatches() == 0 && tally.failures() == 0 && tally.verified() > 0 &&
                    outcome.fault.empty();
  if (good) {
    absl::PrintF("demo: OK, %u responses verified, 0 mismatches\n", tally.verified());
    return 0;
  }
  for (const std::string& complaint : tally.Complaints()) absl::PrintF("client: %s\n", complaint);
  for (const std::string& line : outcome.server_lines) absl::PrintF("server: %s\n", line);
  absl::PrintF("demo: FAILED, %u responses verified, %u mismatches, %u failed requests%s\n",
               tally.verified(), tally.mismatches(), tally.failures(),
               outcome.fault.empty() ? "" : absl::StrCat(", ", outcome.fault));
  return 1;
}

}  // namespace resource_server::demo
