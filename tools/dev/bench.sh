#!/usr/bin/env bash
# ./dev bench [micro] [flags]: builds the benchmarks, runs each with the flags (Google Benchmark's) and
# prints a table of medians and ratios. The raw results stay in bench-results/.
set -euo pipefail
source tools/dev/common.sh

# mode    target    one line each
readonly table="
micro     //bench:weak_ref_benchmark
micro     //bench:weak_value_cache_benchmark
"

mode=micro
if [[ ${1:-} && $1 != -* ]]; then
  mode=$1
  shift
fi
mapfile -t targets < <(awk -v mode="$mode" '$1 == mode { print $2 }' <<< "$table")
if [[ ${#targets[@]} == 0 ]]; then
  say "bench: there is no $mode"
  exit 2
fi

repetitions=(--benchmark_repetitions=5)
for argument in "$@"; do
  if [[ $argument == --benchmark_repetitions=* ]]; then repetitions=(); fi
done

say "bench: building"
bazel build --config=bench "${targets[@]}"
bin=$(bazel info --config=bench bazel-bin 2> /dev/null)

# What the numbers were measured on; a comma would end a value.
commit=$(git rev-parse --short HEAD 2> /dev/null || echo unknown)
if [[ -n $(git status --porcelain --untracked-files=no 2> /dev/null) ]]; then commit+=+changes; fi
cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2> /dev/null | head -n 1 | tr ', ' '._')
context="commit=$commit,cpu=${cpu:-unknown},compiler=$(g++ -dumpfullversion),flags=-O3"

mkdir -p bench-results
results=()
for target in "${targets[@]}"; do
  name=${target##*:}
  path=${target#//}
  out=bench-results/$name.json
  say "bench: running $name"
  "$bin/${path/://}" "${repetitions[@]}" --benchmark_display_aggregates_only=true \
    --benchmark_context="$context" --benchmark_out="$out" --benchmark_out_format=json "$@" >&2
  results+=("$out")
done
python3 tools/bench/summary.py "${results[@]}"
