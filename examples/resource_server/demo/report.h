#ifndef EXAMPLES_RESOURCE_SERVER_DEMO_REPORT_H_
#define EXAMPLES_RESOURCE_SERVER_DEMO_REPORT_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "examples/resource_server/demo/scrape.h"
#include "examples/resource_server/demo/tally.h"

namespace resource_server::demo {

// How it goes, on stdout: one line that changes, on a terminal; else a line now and then.
class Progress {
 public:
  Progress();

  absl::Duration interval() const;
  void Show(absl::Duration elapsed, const Tally& tally, const Samples& samples);
  void Done();

 private:
  const bool terminal_;
  absl::Duration last_elapsed_ = absl::ZeroDuration();
  uint64_t last_verified_ = 0;
};

struct Outcome {
  absl::Duration elapsed;
  const Tally& tally;
  const Samples& samples;  // of the server, at rest
  std::string fault;       // what else went wrong, or ""
  std::vector<std::string> server_lines;
};

// Prints the table and the last line. Returns: the exit status.
int Report(const Outcome& outcome);

}  // namespace resource_server::demo

#endif  // EXAMPLES_RESOURCE_SERVER_DEMO_REPORT_H_
