#!/usr/bin/env bash
# ./dev fmt: formats the C++ sources in place.
set -euo pipefail
source tools/dev/common.sh

cpp_files | xargs -0 -r clang-format -i
