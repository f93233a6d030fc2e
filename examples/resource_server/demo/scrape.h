#ifndef EXAMPLES_RESOURCE_SERVER_DEMO_SCRAPE_H_
#define EXAMPLES_RESOURCE_SERVER_DEMO_SCRAPE_H_

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace resource_server::demo {

// Samples by name, labels included as they stand.
using Samples = std::map<std::string, double, std::less<>>;

// Asks a server for its /metrics, on a connection of its own. Blocking.
absl::StatusOr<Samples> Scrape(const boost::asio::ip::tcp::endpoint& server);

// Reads Prometheus' text format.
// Returns: InvalidArgument if a line is neither comment nor sample.
absl::StatusOr<Samples> ParseMetrics(std::string_view text);

// The value of a sample, 0 if there is none.
uint64_t ValueOf(const Samples& samples, std::string_view name);

}  // namespace resource_server::demo

#endif  // EXAMPLES_RESOURCE_SERVER_DEMO_SCRAPE_H_
