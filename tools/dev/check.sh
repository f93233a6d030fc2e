#!/usr/bin/env bash
# ./dev check [--quick] [--list] [names]: runs named checks, all by default. Each prints one line with
# its figure; the script fails if one fails, after it has run them all.
#
# To add a check: a line in the table and a function check_NAME, which prints its figure as the last
# line of stdout, says anything else before that or on stderr, and fails if the check does.
# shellcheck disable=SC2317  # The checks are called by their names.
set -uo pipefail
source tools/dev/common.sh

# name    run by --quick    what it checks
readonly table="
labels    quick  every atomic order is explained, and pairings are two-way
format    quick  clang-format has nothing to change
layers    quick  no #include against the order of the layers
tools     quick  tests of the scripts in tools/
asan      quick  all tests under AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer
tsan      quick  all tests under ThreadSanitizer
clang     full   everything builds with clang++, the unit tests pass
"

python_tests() {
  python3 -m unittest discover --start-directory "$1" --pattern '*_test.py' >&2
}

check_labels() {
  python_tests tools/labels && python3 tools/labels/check_labels.py
}

check_format() {
  local count unformatted
  count=$(cpp_files | tr -cd '\0' | wc -c)
  unformatted=$(cpp_files | xargs -0 -r clang-format --dry-run 2>&1 |
    sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: .*/\1/p' | sort -u)
  if [[ -z $unformatted ]]; then
    echo "$count files"
  else
    echo "$unformatted"
    echo "$(wc -l <<< "$unformatted") of $count files; ./dev fmt formats them"
    return 1
  fi
}

check_layers() {
  python_tests tools/layers && python3 tools/layers/check_layers.py
}

check_tools() {
  local folder count=0
  for folder in $(find tools -name '*_test.py' -printf '%h\n' | sort -u); do
    python_tests "$folder" || return
    count=$((count + $(cat "$folder"/*_test.py | grep -c '^  def test_')))
  done
  echo "$count tests"
}

check_asan() { tools/dev/test.sh --config=asan; }

check_tsan() { tools/dev/test.sh --config=tsan; }

check_clang() {
  command -v clang++ > /dev/null || tools/setup.sh clang || return
  bazel build --config=clang --keep_going //... >&2 || return
  tools/dev/test.sh --config=clang //tests/unit/...
}

# Prints the names whose second column matches $1.
names() { awk -v pattern="$1" 'NF && $2 ~ pattern { print $1 }' <<< "$table"; }

selected=()
for argument in "$@"; do
  case $argument in
    --quick) mapfile -t -O "${#selected[@]}" selected < <(names quick) ;;
    --list)
      sed '/^$/d' <<< "$table"
      exit
      ;;
    *)
      if ! names . | grep -qxF -- "$argument"; then
        say "check: no check is called $argument; there are: $(names . | paste -sd ' ')"
        exit 2
      fi
      selected+=("$argument")
      ;;
  esac
done
if [[ ${#selected[@]} == 0 ]]; then mapfile -t selected < <(names .); fi

failed=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT
for name in "${selected[@]}"; do
  say "check: $name ..."
  verdict=OK
  if ! "check_$name" > "$output"; then
    verdict=FAILED
    failed=1
    head -n -1 "$output" >&2
  fi
  echo "check: $name: $verdict, $(tail -n 1 "$output")"
done
exit "$failed"
