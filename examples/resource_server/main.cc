// An HTTP server for the files below a directory, which keeps each file in memory exactly as long
// as somebody uses it. README.md says more.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "examples/resource_server/log.h"
#include "examples/resource_server/options.h"
#include "examples/resource_server/server.h"

namespace {

constexpr int kExitUnfinished = 1;
constexpr int kExitUsage = 2;

int Fail(int exit_code, const absl::Status& status) {
  const std::string message(status.message());
  std::fprintf(stderr, "resource_server: %s\n", message.c_str());
  if (exit_code == kExitUsage) std::fprintf(stderr, "Try --help.\n");
  return exit_code;
}

int Run(const resource_server::ServerOptions& options) {
  using resource_server::Server;
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Create(options);
  if (!server.ok()) {
    const bool usage = server.status().code() == absl::StatusCode::kInvalidArgument;
    return Fail(usage ? kExitUsage : kExitUnfinished, server.status());
  }
  (*server)->StopOnSignals();
  (*server)->Start();
  const auto endpoint = (*server)->endpoint();
  const std::string address = endpoint.address().to_string();
  const char* const format =
      endpoint.address().is_v6() ? "listening on [%s]:%u\n" : "listening on %s:%u\n";
  std::fprintf(stderr, format, address.c_str(), unsigned{endpoint.port()});

  const bool drained = (*server)->Wait();
  // A read that hangs in the kernel cannot be interrupted and would keep the destructor waiting.
  // The end of the process is what ends it.
  if (!drained) std::_Exit(kExitUnfinished);
  resource_server::Logger().Info("stopped");
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  // A log whose reader is gone must not end the server.
  std::signal(SIGPIPE, SIG_IGN);

  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() == 1 && args[0] == "--help") {
    std::printf("usage: resource_server --root=DIRECTORY [flags]\n\n%s",
                resource_server::ServerHelp().c_str());
    return EXIT_SUCCESS;
  }
  const absl::StatusOr<resource_server::ServerOptions> options =
      resource_server::ParseServerOptions(args);
  if (!options.ok()) return Fail(kExitUsage, options.status());
  return Run(*options);
}
