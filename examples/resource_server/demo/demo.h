#ifndef EXAMPLES_RESOURCE_SERVER_DEMO_DEMO_H_
#define EXAMPLES_RESOURCE_SERVER_DEMO_DEMO_H_

#include "examples/resource_server/demo/demo_options.h"

namespace resource_server::demo {

// Starts the server, puts it to the test, stops it, and reports on stdout.
// Returns: the exit status, 0 if every answer was right and the server ended well.
int RunDemo(const DemoOptions& options);

}  // namespace resource_server::demo

#endif  // EXAMPLES_RESOURCE_SERVER_DEMO_DEMO_H_
