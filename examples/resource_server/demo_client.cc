// Starts a resource_server, loads it with many clients, compares every byte that it serves with the
// files themselves, and stops it again.

#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "examples/resource_server/demo/demo.h"
#include "examples/resource_server/demo/demo_options.h"

namespace {

constexpr int kExitUsage = 2;

// Each client is a descriptor here and another in the server, which inherits the limit.
void RaiseDescriptorLimit() {
  rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() == 1 && args[0] == "--help") {
    std::printf("usage: demo_client --server=PATH [flags]\n\n%s",
                resource_server::demo::DemoHelp().c_str());
    return EXIT_SUCCESS;
  }
  const absl::StatusOr<resource_server::demo::DemoOptions> options =
      resource_server::demo::ParseDemoOptions(args);
  if (!options.ok()) {
    std::fprintf(stderr, "demo_client: %s\nTry --help.\n",
                 std::string(options.status().message()).c_str());
    return kExitUsage;
  }
  RaiseDescriptorLimit();
  return resource_server::demo::RunDemo(*options);
}
