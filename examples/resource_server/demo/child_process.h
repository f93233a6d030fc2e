#ifndef EXAMPLES_RESOURCE_SERVER_DEMO_CHILD_PROCESS_H_
#define EXAMPLES_RESOURCE_SERVER_DEMO_CHILD_PROCESS_H_

#include <sys/types.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "examples/resource_server/unique_fd.h"

namespace resource_server::demo {

// A program that runs as our child, with its stderr read here line by line. It gets SIGTERM when
// the thread that started it ends, so that no server outlives a client that crashed.
class ChildProcess {
 public:
  // `command`: the program's path, then its arguments.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::vector<std::string>& command);

  // Kills it if it still runs.
  ~ChildProcess();

  // Waits for a line of stderr with this prefix. Returns: what follows the prefix; Unavailable if
  // the child's stderr ends first, DeadlineExceeded otherwise.
  absl::StatusOr<std::string> AwaitLine(std::string_view prefix, absl::Duration timeout);

  void Signal(int signal) const;

  // Waits for the end. Returns: the exit status, or -signal; DeadlineExceeded.
  absl::StatusOr<int> AwaitExit(absl::Duration timeout);

  // The last lines of stderr so far, for a report of what went wrong.
  std::vector<std::string> LastLines();

  // The same, once stderr has ended.
  std::vector<std::string> AllLines();

 private:
  ChildProcess(pid_t pid, UniqueFd output);

  void ReadLines();

  const pid_t pid_;
  const UniqueFd output_;
  bool reaped_ = false;

  absl::Mutex mutex_;
  std::deque<std::string> lines_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  // Last, for it uses the others.
  std::thread reader_;
};

}  // namespace resource_server::demo

#endif  // EXAMPLES_RESOURCE_SERVER_DEMO_CHILD_PROCESS_H_
