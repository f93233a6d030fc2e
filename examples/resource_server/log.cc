#include "examples/resource_server/log.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace resource_server {
namespace {

constexpr size_t kMaxValueBytes = 200;

// A line longer than this may be torn by other writers of the same pipe; PIPE_BUF is at least 4096.
// Nothing is retried: a log that blocks or is gone must not take the server with it.
void WriteToStderr(std::string_view line) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

bool IsPlain(char c) { return absl::ascii_isalnum(c) || c == '.' || c == ':' || c == '-'; }

void AppendValue(std::string_view value, std::string& line) {
  if (!value.empty() && value.size() <= kMaxValueBytes &&
      std::all_of(value.begin(), value.end(), IsPlain)) {
    absl::StrAppend(&line, value);
    return;
  }
  const bool cut = value.size() > kMaxValueBytes;
  absl::StrAppend(&line, "\"", absl::CHexEscape(value.substr(0, kMaxValueBytes)), cut ? "..." : "",
                  "\"");
}

}  // namespace

Logger::Logger(Sink sink) : sink_(sink ? std::move(sink) : Sink(WriteToStderr)) {}

void Logger::Info(std::string_view message, Fields fields) const { Write("info", message, fields); }

void Logger::Warn(std::string_view message, Fields fields) const { Write("warn", message, fields); }

void Logger::Error(std::string_view message, Fields fields) const {
  Write("error", message, fields);
}

void Logger::Write(std::string_view level, std::string_view message, Fields fields) const {
  std::string line = absl::StrCat("level=", level, " msg=\"", absl::CHexEscape(message), "\"");
  for (const Field& field : fields) {
    absl::StrAppend(&line, " ", field.key, "=");
    AppendValue(field.value, line);
  }
  line.push_back('\n');
  sink_(line);
}

}  // namespace resource_server
