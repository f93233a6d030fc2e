#include "examples/resource_server/demo/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace resource_server::demo {
namespace {

constexpr size_t kKeptLines = 20;
constexpr int kExitNotStarted = 127;

// Between fork and exec: async-signal-safe calls only.
[[noreturn]] void BecomeChild(char* const* argv, int output) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  ::dup2(output, STDERR_FILENO);
  ::execv(argv[0], argv);
  const char* const reason = std::strerror(errno);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, reason, std::strlen(reason));
  ::_exit(kExitNotStarted);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return absl::InternalError(absl::StrCat("pipe: ", std::strerror(errno)));
  }
  UniqueFd output(ends[0]);
  const UniqueFd input(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return absl::InternalError(absl::StrCat("fork: ", std::strerror(errno)));
  if (pid == 0) BecomeChild(argv.data(), input.get());
  return std::unique_ptr<ChildProcess>(new ChildProcess(pid, std::move(output)));
}

ChildProcess::ChildProcess(pid_t pid, UniqueFd output)
    : pid_(pid), output_(std::move(output)), reader_([this] { ReadLines(); }) {}

ChildProcess::~ChildProcess() {
  if (!reaped_) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  reader_.join();
}

void ChildProcess::ReadLines() {
  std::string pending;
  std::array<char, 4096> bytes;
  ssize_t got;
  while ((got = ::read(output_.get(), bytes.data(), bytes.size())) > 0) {
    pending.append(bytes.data(), static_cast<size_t>(got));
    size_t end;
    while ((end = pending.find('\n')) != std::string::npos) {
      absl::MutexLock lock(&mutex_);
      lines_.push_back(pending.substr(0, end));
      if (lines_.size() > kKeptLines) lines_.pop_front();
      pending.erase(0, end + 1);
    }
  }
  absl::MutexLock lock(&mutex_);
  if (!pending.empty()) lines_.push_back(pending);
  ended_ = true;
}

absl::StatusOr<std::string> ChildProcess::AwaitLine(std::string_view prefix,
                                                    absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  std::string rest;
  bool found = false;
  const auto found_or_ended = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const std::string& line : lines_) {
      if (!std::string_view(line).starts_with(prefix)) continue;
      rest = line.substr(prefix.size());
      found = true;
    }
    return found || ended_;
  };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&found_or_ended), timeout)) {
    return absl::DeadlineExceededError(absl::StrCat("no line \"", prefix, "...\" in time"));
  }
  if (!found) return absl::UnavailableError("ended before it was ready");
  return rest;
}

void ChildProcess::Signal(int signal) const { ::kill(pid_, signal); }

absl::StatusOr<int> ChildProcess::AwaitExit(absl::Duration timeout) {
  // A descriptor for the process can be waited for with a timeout, which waitpid cannot.
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!process) return absl::InternalError(absl::StrCat("pidfd: ", std::strerror(errno)));
  pollfd ended = {.fd = process.get(), .events = POLLIN, .revents = 0};
  if (::poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) != 1) {
    return absl::DeadlineExceededError("still runs");
  }
  int status = 0;
  ::waitpid(pid_, &status, 0);
  reaped_ = true;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::vector<std::string> ChildProcess::LastLines() {
  absl::MutexLock lock(&mutex_);
  return {lines_.begin(), lines_.end()};
}

std::vector<std::string> ChildProcess::AllLines() {
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&ended_));
  return {lines_.begin(), lines_.end()};
}

}  // namespace resource_server::demo
