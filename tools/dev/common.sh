# shellcheck shell=bash
# What the developer's scripts share. Sourced, from the top folder of the checkout.

# Bazel keeps its output and our disk cache under HOME, and cannot do with a folder that is missing,
# read-only, relative or has blanks in its name.
if [[ ! ${HOME:-} =~ ^/[^[:space:]]*$ || ! -d $HOME || ! -w $HOME ]]; then
  mkdir -p .deps/home
  export HOME=$PWD/.deps/home
fi

# Progress and complaints go to stderr: stdout is for results.
say() { echo "$*" >&2; }

# The C++ sources that git knows or would add, NUL-separated.
cpp_files() {
  local file
  git ls-files -z --cached --others --exclude-standard '*.h' '*.cc' |
    while IFS= read -r -d '' file; do
      # A deleted file stays listed until the deletion is staged.
      if [[ -f $file ]]; then printf '%s\0' "$file"; fi
    done
}
