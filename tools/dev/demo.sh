#!/usr/bin/env bash
# ./dev demo [--root=DIR] [--seconds=N] [--clients=N]: builds the resource server and its demo client.
# The client starts the server, loads it, prints what it saw, and stops the server again.
set -euo pipefail
source tools/dev/common.sh

readonly package=examples/resource_server
say "demo: building"
bazel build --config=bench "//$package:resource_server" "//$package:demo_client"
bin=$(bazel info --config=bench bazel-bin 2> /dev/null)/$package

cd "${DEV_CALLER_DIR:-.}"
exec "$bin/demo_client" --server="$bin/resource_server" "$@"
