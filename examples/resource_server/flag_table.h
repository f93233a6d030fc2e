#ifndef EXAMPLES_RESOURCE_SERVER_FLAG_TABLE_H_
#define EXAMPLES_RESOURCE_SERVER_FLAG_TABLE_H_

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace resource_server {

// Command line flags of the form --name=value, parsed into variables.
//
// Not Abseil's flags: those are global variables (a test cannot parse twice), their names cannot
// have hyphens, and a bad value ends the process with status 1 instead of 2.
class FlagTable {
 public:
  // Parses a value; the error says what is wanted, without the flag's name ("must be a number").
  using Parser = std::function<absl::Status(std::string_view value)>;

  void Add(std::string_view name, std::string_view placeholder, std::string_view help,
           Parser parser);

  // Flags in any order; of a flag given twice the last counts. `args` has no program name.
  // Returns: InvalidArgument with a message for the user.
  absl::Status Parse(const std::vector<std::string>& args) const;

  // One line a flag.
  std::string Help() const;

 private:
  struct Flag {
    std::string name;
    std::string placeholder;
    std::string help;
    Parser parser;
  };

  std::vector<Flag> flags_;
};

// Parsers for FlagTable. Each stores into `*target` only if the value is good.

FlagTable::Parser StringFlag(std::string* target);
FlagTable::Parser BoolFlag(bool* target);

absl::StatusOr<uint64_t> ParseNumber(std::string_view value, uint64_t min, uint64_t max);
absl::StatusOr<std::chrono::nanoseconds> ParseDuration(std::string_view value,
                                                       std::chrono::nanoseconds min,
                                                       std::chrono::nanoseconds max);

// A number in [min, max].
template <std::unsigned_integral Number>
FlagTable::Parser NumberFlag(Number* target, uint64_t min, uint64_t max) {
  return [=](std::string_view value) -> absl::Status {
    const absl::StatusOr<uint64_t> number = ParseNumber(value, min, max);
    if (number.ok()) *target = static_cast<Number>(*number);
    return number.status();
  };
}

// A duration such as "10s", "1m30s" or "250ms", in [min, max].
template <class Duration>
FlagTable::Parser DurationFlag(Duration* target, std::chrono::nanoseconds min,
                               std::chrono::nanoseconds max) {
  return [=](std::string_view value) -> absl::Status {
    const absl::StatusOr<std::chrono::nanoseconds> duration = ParseDuration(value, min, max);
    if (duration.ok()) *target = std::chrono::duration_cast<Duration>(*duration);
    return duration.status();
  };
}

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_FLAG_TABLE_H_
