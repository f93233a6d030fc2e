#include "examples/resource_server/flag_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace resource_server {

void FlagTable::Add(std::string_view name, std::string_view placeholder, std::string_view help,
                    Parser parser) {
  flags_.push_back(
      {std::string(name), std::string(placeholder), std::string(help), std::move(parser)});
}

absl::Status FlagTable::Parse(const std::vector<std::string>& args) const {
  for (std::string_view arg : args) {
    const size_t equals = arg.find('=');
    if (!arg.starts_with("--") || equals == std::string_view::npos) {
      return absl::InvalidArgumentError(absl::StrCat("'", arg, "' is not --name=value"));
    }
    const std::string_view name = arg.substr(2, equals - 2);
    const auto flag = std::find_if(flags_.begin(), flags_.end(),
                                   [name](const Flag& known) { return known.name == name; });
    if (flag == flags_.end()) {
      return absl::InvalidArgumentError(absl::StrCat("there is no flag --", name));
    }
    const std::string_view value = arg.substr(equals + 1);
    if (const absl::Status status = flag->parser(value); !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", name, "=", value, ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

std::string FlagTable::Help() const {
  std::string text;
  for (const Flag& flag : flags_) {
    const std::string usage = absl::StrCat("  --", flag.name, "=", flag.placeholder);
    const size_t padding = usage.size() < 32 ? 32 - usage.size() : 1;
    absl::StrAppend(&text, usage, std::string(padding, ' '), flag.help, "\n");
  }
  return text;
}

FlagTable::Parser StringFlag(std::string* target) {
  return [target](std::string_view value) {
    *target = std::string(value);
    return absl::OkStatus();
  };
}

FlagTable::Parser BoolFlag(bool* target) {
  return [target](std::string_view value) -> absl::Status {
    if (value != "true" && value != "false") {
      return absl::InvalidArgumentError("must be true or false");
    }
    *target = value == "true";
    return absl::OkStatus();
  };
}

absl::StatusOr<uint64_t> ParseNumber(std::string_view value, uint64_t min, uint64_t max) {
  uint64_t number = 0;
  // SimpleAtoi would take "+7", " 7" and, for unsigned types, refuse "-7" only by luck of range.
  const bool digits = !value.empty() && value.find_first_not_of("0123456789") == value.npos;
  if (!digits || !absl::SimpleAtoi(value, &number) || number < min || number > max) {
    return absl::InvalidArgumentError(absl::StrCat("must be a number from ", min, " to ", max));
  }
  return number;
}

absl::StatusOr<std::chrono::nanoseconds> ParseDuration(std::string_view value,
                                                       std::chrono::nanoseconds min,
                                                       std::chrono::nanoseconds max) {
  absl::Duration duration;
  if (!absl::ParseDuration(value, &duration) || duration < absl::FromChrono(min) ||
      duration > absl::FromChrono(max)) {
    return absl::InvalidArgumentError(
        absl::StrCat("must be a duration from ", absl::FormatDuration(absl::FromChrono(min)),
                     " to ", absl::FormatDuration(absl::FromChrono(max)), ", such as 1.5s"));
  }
  return absl::ToChronoNanoseconds(duration);
}

}  // namespace resource_server
