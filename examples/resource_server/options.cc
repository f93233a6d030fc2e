#include "examples/resource_server/options.h"

#include <boost/asio/ip/address.hpp>
#include <string_view>

#include "absl/status/status.h"
#include "examples/resource_server/flag_table.h"

namespace resource_server {
namespace {

constexpr std::chrono::milliseconds kShortestTimeout{1};
constexpr std::chrono::hours kLongestTimeout{24};

// "127.0.0.1:8080", "[::1]:0". Numbers only: a name would have to be looked up, and might change.
absl::Status ParseListen(std::string_view value, ServerOptions& options) {
  const absl::Status bad =
      absl::InvalidArgumentError("must be ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:0");
  const size_t colon = value.rfind(':');
  if (colon == std::string_view::npos) return bad;
  std::string_view host = value.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(std::string(host), error);
  if (error || address.is_v6() != bracketed) return bad;
  const absl::StatusOr<uint64_t> port = ParseNumber(value.substr(colon + 1), 0, 65535);
  if (!port.ok()) return bad;
  options.listen_address = host;
  options.listen_port = static_cast<uint16_t>(*port);
  return absl::OkStatus();
}

FlagTable MakeTable(ServerOptions& options) {
  FlagTable table;
  const auto timeout = [](std::chrono::milliseconds* target) {
    return DurationFlag(target, kShortestTimeout, kLongestTimeout);
  };
  table.Add("listen", "ADDRESS:PORT", "where to listen; port 0 takes any (127.0.0.1:8080)",
            [&options](std::string_view value) { return ParseListen(value, options); });
  table.Add("root", "DIRECTORY", "serve the regular files below it as /files/...; required",
            StringFlag(&options.root));
  table.Add("threads", "N", "threads that serve connections, 0 for one a CPU (0)",
            NumberFlag(&options.threads, 0, 256));
  table.Add("load-threads", "N", "threads that read files; so many slow ones harm nobody (4)",
            NumberFlag(&options.load_threads, 1, 256));
  table.Add("shards", "N", "shards of the cache, 0 for the library's default (0)",
            NumberFlag(&options.shards, 0, size_t{1} << 16));
  table.Add("max-file-bytes", "N", "larger files are refused, decompressed size too (64 MiB)",
            NumberFlag(&options.max_file_bytes, 0, uint64_t{1} << 40));
  table.Add("max-request-bytes", "N", "longest request line, header and body (16 KiB)",
            NumberFlag(&options.max_request_bytes, 256, size_t{1} << 24));
  table.Add("max-connections", "N", "more of them wait until one closes (1024)",
            NumberFlag(&options.max_connections, 1, size_t{1} << 20));
  table.Add("hold-last", "BOOL", "an idle connection keeps its last file in use (true)",
            BoolFlag(&options.hold_last));
  table.Add("revalidate", "DURATION", "look at a cached file again after so long (1s)",
            DurationFlag(&options.revalidate, std::chrono::seconds(0), kLongestTimeout));
  table.Add("header-timeout", "DURATION", "for a request to arrive, from its first byte (10s)",
            timeout(&options.header_timeout));
  table.Add("load-timeout", "DURATION", "for a file to be read; the client gets a 504 then (30s)",
            timeout(&options.load_timeout));
  table.Add("idle-timeout", "DURATION", "close a connection without requests after so long (60s)",
            timeout(&options.idle_timeout));
  table.Add("write-timeout", "DURATION", "close if a client reads nothing for so long (30s)",
            timeout(&options.write_timeout));
  table.Add("drain-timeout", "DURATION", "after SIGTERM, cut off what is unfinished then (30s)",
            timeout(&options.drain_timeout));
  return table;
}

}  // namespace

absl::StatusOr<ServerOptions> ParseServerOptions(const std::vector<std::string>& args) {
  ServerOptions options;
  if (absl::Status status = MakeTable(options).Parse(args); !status.ok()) return status;
  if (options.root.empty()) return absl::InvalidArgumentError("--root=DIRECTORY is required");
  return options;
}

std::string ServerHelp() {
  ServerOptions unused;
  return MakeTable(unused).Help();
}

}  // namespace resource_server
