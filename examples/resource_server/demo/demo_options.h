#ifndef EXAMPLES_RESOURCE_SERVER_DEMO_DEMO_OPTIONS_H_
#define EXAMPLES_RESOURCE_SERVER_DEMO_DEMO_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace resource_server::demo {

struct DemoOptions {
  std::string server;
  std::string root = "/usr/share/doc";
  size_t seconds = 10;
  size_t clients = 64;
  size_t threads = 0;  // 0: half of the CPUs, the other half is the server's
  uint64_t seed = 0;   // 0: one from the system
};

// Returns: InvalidArgument with a message for the user.
absl::StatusOr<DemoOptions> ParseDemoOptions(const std::vector<std::string>& args);

std::string DemoHelp();

}  // namespace resource_server::demo

#endif  // EXAMPLES_RESOURCE_SERVER_DEMO_DEMO_OPTIONS_H_
