#ifndef EXAMPLES_RESOURCE_SERVER_OPTIONS_H_
#define EXAMPLES_RESOURCE_SERVER_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace resource_server {

// What the command line of the server can say; ServerHelp() tells what it means.
struct ServerOptions {
  std::string listen_address = "127.0.0.1";
  uint16_t listen_port = 8080;
  std::string root;
  size_t threads = 0;  // 0: one a CPU
  size_t load_threads = 4;
  size_t shards = 0;  // 0: the library's default
  size_t max_file_bytes = size_t{64} << 20;
  size_t max_request_bytes = size_t{16} << 10;
  size_t max_connections = 1024;
  bool hold_last = true;
  std::chrono::milliseconds revalidate = std::chrono::seconds(1);
  std::chrono::milliseconds header_timeout = std::chrono::seconds(10);
  std::chrono::milliseconds load_timeout = std::chrono::seconds(30);
  std::chrono::milliseconds idle_timeout = std::chrono::seconds(60);
  std::chrono::milliseconds write_timeout = std::chrono::seconds(30);
  std::chrono::milliseconds drain_timeout = std::chrono::seconds(30);
};

// Returns: InvalidArgument with a message for the user.
absl::StatusOr<ServerOptions> ParseServerOptions(const std::vector<std::string>& args);

std::string ServerHelp();

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_OPTIONS_H_
