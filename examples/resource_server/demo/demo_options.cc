#include "examples/resource_server/demo/demo_options.h"

#include <limits>

#include "absl/status/status.h"
#include "examples/resource_server/flag_table.h"

namespace resource_server::demo {
namespace {

FlagTable MakeTable(DemoOptions& options) {
  FlagTable table;
  table.Add("server", "PATH", "the resource_server program; required", StringFlag(&options.server));
  table.Add("root", "DIRECTORY", "files to serve and to ask for (/usr/share/doc)",
            StringFlag(&options.root));
  table.Add("seconds", "N", "how long (10)", NumberFlag(&options.seconds, 1, 86'400));
  table.Add("clients", "N", "connections at once (64)", NumberFlag(&options.clients, 1, 4096));
  table.Add("threads", "N", "threads of this client, 0 for half of the CPUs (0)",
            NumberFlag(&options.threads, 0, 256));
  table.Add("seed", "N", "chooses files and requests, 0 for a new one (0)",
            NumberFlag(&options.seed, 0, std::numeric_limits<uint64_t>::max()));
  return table;
}

}  // namespace

absl::StatusOr<DemoOptions> ParseDemoOptions(const std::vector<std::string>& args) {
  DemoOptions options;
  if (absl::Status status = MakeTable(options).Parse(args); !status.ok()) return status;
  if (options.server.empty()) return absl::InvalidArgumentError("--server=PATH is required");
  return options;
}

std::string DemoHelp() {
  DemoOptions unused;
  return MakeTable(unused).Help();
}

}  // namespace resource_server::demo
