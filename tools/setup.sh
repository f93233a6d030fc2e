#!/usr/bin/env bash
# Makes this checkout buildable, then gets out of the way: after it, plain `bazel build //...` works.
#
#   tools/setup.sh             install what the build needs and what is missing
#   tools/setup.sh PACKAGE...  the same, and these Debian packages (optional tools of some checks)
#
# On Debian 12 without an upstream Bazel, everything comes from Debian: Bazel 4.2.3 and its rules as
# packages, Abseil, GoogleTest and Benchmark as source packages, unpacked in .deps/. The file
# .bazelrc.local, which .bazelrc imports, then points Bazel at them. With an upstream Bazel that file
# names a disk cache only, and Bazel downloads what WORKSPACE pins.
#
# Does nothing, quickly, when nothing is missing.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/dev/common.sh
source tools/dev/common.sh
readonly root=$PWD
readonly deps=$root/.deps
readonly debian_rules=/usr/share/bazel

# "probe package": the package is missing if the probe, a command or an absolute path, is.
readonly common_packages="
  g++                                        g++
  clang-format                               clang-format
  python3                                    python3
  /usr/include/zlib.h                        zlib1g-dev
"
readonly debian_bazel_packages="
  bazel                                      bazel-bootstrap
  $debian_rules/rules/cc/WORKSPACE     bazel-rules-cc
  $debian_rules/rules/java/WORKSPACE   bazel-rules-java
  $debian_rules/rules/proto/WORKSPACE  bazel-rules-proto
  $debian_rules/tools/platforms/BUILD  bazel-platforms
  $debian_rules/tools/skylib/WORKSPACE bazel-skylib
  dpkg-source                                dpkg-dev
"

# The source packages: name, repository it overrides, folder in the archive, checksum of the archive.
readonly debian_sources="
  abseil     com_google_absl             abseil-20220623.1         abfe2897f3a30edaa74bc34365afe3c2a3cd012091a97dc7e008f7016adcd5fe
  googletest com_google_googletest       googletest-release-1.12.1 81964fe578e9bd7c94dfdb09c8e4d6e6759e19967e397dbea48d1c10e45d0df2
  benchmark  com_github_google_benchmark benchmark-1.7.1           6430e4092653380d9dc4ccb45a1e2dc9259d581f4866dc0759713126056bc1d7
"

note() { say "setup: $*"; }
die() {
  note "$*"
  exit 1
}

present() {
  if [[ $1 == /* ]]; then [[ -e $1 ]]; else command -v "$1" > /dev/null; fi
}

uses_debian_bazel() {
  ! command -v bazel > /dev/null || [[ $(readlink -f "$(command -v bazel)") == /usr/bin/bazel && -d $debian_rules/rules ]]
}

boost_is_recent() {
  local version
  version=$(sed -n 's/^#define BOOST_VERSION \([0-9]*\).*/\1/p' /usr/include/boost/version.hpp 2> /dev/null)
  [[ ${version:-0} -ge 108100 ]]
}

# Prints the missing packages, one a line.
missing_packages() {
  local table=$common_packages probe package
  if uses_debian_bazel; then table+=$debian_bazel_packages; fi
  while read -r probe package; do
    if [[ -n $probe ]] && ! present "$probe"; then echo "$package"; fi
  done <<< "$table"
  boost_is_recent || echo libboost1.81-dev
  for package in "$@"; do
    [[ $(dpkg-query -W -f='${Status}' "$package" 2> /dev/null) == "install ok installed" ]] || echo "$package"
  done
}

is_debian_12() {
  [[ -r /etc/os-release ]] || return 1
  # shellcheck disable=SC1091
  (. /etc/os-release && [[ ${ID:-} == debian && ${VERSION_ID:-} == 12 ]])
}

apt() {
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 "$@" < /dev/null
}

install_packages() {
  local packages=("$@")
  if ! is_debian_12 || [[ $(id -u) != 0 ]]; then
    note "these are missing, by the names of Debian 12: ${packages[*]}"
    note "install them (on Debian 12: apt-get install ${packages[*]}), or run this as root on Debian 12."
    die "instead of bazel-bootstrap and bazel-*, an upstream Bazel 4 to 6 (see .bazeliskrc) does as well."
  fi
  note "installing ${packages[*]}"
  local log=$deps/apt.log
  apt install --no-install-recommends "${packages[@]}" > "$log" 2>&1 && return
  note "apt-get update"
  apt update > "$log" 2>&1 || true
  apt install --no-install-recommends "${packages[@]}" > "$log" 2>&1 || { cat "$log" >&2; die "apt-get failed"; }
}

# Downloads the source archives to the current folder. The machine's own source lists are copied and
# turned into lists of sources, so that whichever mirror it uses is used here too. Needs no root.
download_sources() {
  local state file
  state=$PWD/apt
  mkdir -p "$state"/{sources,lists/partial,cache/archives/partial}
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    if [[ -r $file ]]; then
      sed -n 's/^deb /deb-src /p' "$file" > "$state/sources/$(basename "$file" .list).list"
    fi
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    if [[ -r $file ]]; then sed 's/^Types:.*/Types: deb-src/' "$file" > "$state/sources/$(basename "$file")"; fi
  done
  local options=(
    -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$state/sources"
    -o Dir::State::Lists="$state/lists" -o Dir::Cache="$state/cache" -o APT::Sandbox::User="$(id -un)"
  )
  # A foreign list without sources makes the update fail although Debian's went well; what matters is
  # whether the archives arrive.
  apt "${options[@]}" update > "$state/log" 2>&1 || true
  # shellcheck disable=SC2046  # The names are to be split.
  apt "${options[@]}" source --download-only $(awk 'NF { print $1 }' <<< "$debian_sources") >> "$state/log" 2>&1 ||
    { cat "$state/log" >&2; die "cannot download Debian's source packages"; }
}

# Unpacks the sources and the patched rules to the folder $1.
unpack_sources() {
  local target=$1 name repository folder checksum archive
  mkdir -p "$target/download"
  (cd "$target/download" && download_sources)
  while read -r name repository folder checksum; do
    [[ -n $name ]] || continue
    archive=$(echo "$target/download/$name"_*.orig.tar.gz)
    echo "$checksum  $archive" | sha256sum --check --quiet || die "$name: Debian's archive is not the expected one"
    tar -C "$target" -xzf "$archive"
    mv "$target/$folder" "$target/$repository"
  done <<< "$debian_sources"
  rm -rf "$target/download"

  # Debian's rules_cc is newer than its Bazel, which does not know use_cpp_toolchain yet.
  cp -rL "$debian_rules/rules/cc" "$target/rules_cc"
  chmod -R u+w "$target/rules_cc"
  grep -rlZ use_cpp_toolchain "$target/rules_cc" | xargs -0 sed -i \
    -e 's/, "use_cpp_toolchain"//' -e 's|use_cpp_toolchain()|["@bazel_tools//tools/cpp:toolchain_type"]|'

  # `bazel test` asks for these two even when nobody measures coverage.
  mkdir "$target/remote_coverage_tools"
  echo 'workspace(name = "remote_coverage_tools")' > "$target/remote_coverage_tools/WORKSPACE"
  cat > "$target/remote_coverage_tools/BUILD" << 'BUILD'
[filegroup(
    name = name,
    visibility = ["//visibility:public"],
) for name in ["coverage_report_generator", "lcov_merger"]]
BUILD
}

# Prints what belongs in .bazelrc.local.
bazelrc() {
  local target=$deps/sources repository
  echo "# Written by tools/setup.sh."
  # Bazel's own ~ is the password file's, which need not exist.
  echo "build --disk_cache=$HOME/.cache/weakref-bazel"
  uses_debian_bazel || return 0
  for repository in com_google_absl com_google_googletest com_github_google_benchmark rules_cc remote_coverage_tools; do
    echo "common --override_repository=$repository=$target/$repository"
  done
  echo "common --override_repository=rules_java=$debian_rules/rules/java"
  echo "common --override_repository=rules_proto=$debian_rules/rules/proto"
  echo "common --override_repository=platforms=$debian_rules/tools/platforms"
  echo "common --override_repository=bazel_skylib=$debian_rules/tools/skylib"
}

main() {
  local stamp missing kind=upstream wanted
  if uses_debian_bazel; then kind=debian; fi
  stamp="$(sha256sum < tools/setup.sh) $kind"
  missing=$(missing_packages "$@")
  wanted=$(bazelrc)
  if [[ -z $missing && $(cat "$deps/stamp" .bazelrc.local 2> /dev/null) == "$stamp"$'\n'"$wanted" ]]; then return; fi

  mkdir -p "$deps"
  exec 9> "$deps/lock"
  flock 9
  # shellcheck disable=SC2086  # The names are to be split.
  if [[ -n $missing ]]; then install_packages $missing; fi
  if uses_debian_bazel && [[ $(cat "$deps/stamp" 2> /dev/null) != "$stamp" ]]; then
    note "fetching the sources of Abseil, GoogleTest and Benchmark"
    rm -rf "$deps/sources" "$deps/new"
    unpack_sources "$deps/new"
    mv "$deps/new" "$deps/sources"
  fi
  bazelrc > .bazelrc.local
  echo "$stamp" > "$deps/stamp"
  note "done"
}

main "$@"
