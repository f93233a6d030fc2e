#!/usr/bin/env bash
# ./dev test [targets] [Bazel flags]: builds and runs the tests, all by default. The last line says how
# many test cases passed and failed; see count_tests.py for what counts.
set -euo pipefail
source tools/dev/common.sh

flags=()
targets=()
filter=()
for argument in "$@"; do
  case $argument in
    -//* | //* | @* | :*) targets+=("$argument") ;;
    -*)
      flags+=("$argument")
      # A target none of whose cases match the filter is no failure then.
      if [[ $argument == --test_filter=* || $argument == --test_arg=--gtest_filter=* ]]; then filter=(--filtered); fi
      ;;
    *[/:]*) targets+=("//${argument#./}") ;;
    *) flags+=("$argument") ;;
  esac
done
if [[ ${#targets[@]} == 0 ]]; then targets=(//...); fi

events=$(mktemp)
trap 'rm -f "$events"' EXIT
status=0
bazel test --build_event_json_file="$events" "${flags[@]}" -- "${targets[@]}" >&2 || status=$?
python3 tools/dev/count_tests.py "${filter[@]}" --bazel_status="$status" "$events"
