#include "examples/resource_server/metrics.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "examples/resource_server/prometheus.h"

namespace resource_server {

void LatencyHistogram::Observe(std::chrono::nanoseconds duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  const auto bucket =
      std::lower_bound(kUpperBoundsSeconds.begin(), kUpperBoundsSeconds.end(), seconds);
  buckets_[static_cast<size_t>(bucket - kUpperBoundsSeconds.begin())].fetch_add(
      1, std::memory_order_relaxed);
  sum_ns_.fetch_add(static_cast<uint64_t>(duration.count()), std::memory_order_relaxed);
}

void LatencyHistogram::Append(std::string& text, std::string_view name,
                              std::string_view help) const {
  PrometheusWriter writer(text);
  writer.Head(name, help, "histogram");
  const std::string bucket_name = absl::StrCat(name, "_bucket");
  uint64_t count = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    count += buckets_[i].load(std::memory_order_relaxed);
    const std::string bound =
        i < kUpperBoundsSeconds.size() ? absl::StrCat(kUpperBoundsSeconds[i]) : "+Inf";
    writer.Sample(bucket_name, absl::StrCat("le=\"", bound, "\""), count);
  }
  writer.Sample(absl::StrCat(name, "_sum"), "",
                static_cast<double>(sum_ns_.load(std::memory_order_relaxed)) * 1e-9);
  // From the buckets, so that it equals the last of them in every scrape.
  writer.Sample(absl::StrCat(name, "_count"), "", count);
}

void Metrics::CountResponse(unsigned status) {
  if (status < responses_.size()) responses_[status].Increment();
}

void Metrics::Append(std::string& text) const {
  PrometheusWriter writer(text);
  writer.Head("resource_server_requests_total", "Requests answered, by status code.", "counter");
  for (unsigned status = 0; status < responses_.size(); ++status) {
    const uint64_t count = responses_[status].value();
    if (count > 0) {
      writer.Sample("resource_server_requests_total", absl::StrCat("code=\"", status, "\""), count);
    }
  }
  writer.Gauge("resource_server_requests_in_flight",
               "Requests whose header has arrived and whose response is not yet sent.",
               requests_in_flight.value());
  writer.Gauge("resource_server_connections", "Open connections.", connections.value());
  writer.Counter("resource_server_connections_accepted_total", "Connections accepted.",
                 connections_accepted.value());
  writer.Counter("resource_server_timeouts_total",
                 "Connections closed because the client was too slow.", timeouts.value());
  writer.Counter("resource_server_response_body_bytes_total",
                 "Bytes of the bodies of responses sent in full.", body_bytes.value());
  writer.Counter("resource_server_stale_resources_total",
                 "Resources found to differ from their file and loaded again.",
                 stale_resources.value());
  load_duration.Append(text, "resource_server_load_duration_seconds",
                       "Time from the request that needed a load to its end.");
}

}  // namespace resource_server
