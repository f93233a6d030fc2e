"""The compiler flags of this project's own code. External code has its own.

    load("//tools/build:copts.bzl", "WEAKREF_COPTS", "WEAKREF_TEST_COPTS")

Warnings are listed here; that they are errors stands in .bazelrc (--per_file_copt), so that a
project which uses the library with a newer compiler is warned, not broken.
"""

_WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wcast-align",
    "-Wcast-qual",
    "-Wimplicit-fallthrough",
    "-Wmissing-declarations",
    "-Wnon-virtual-dtor",
    "-Wold-style-cast",
    "-Woverloaded-virtual",
    "-Wshadow",
    "-Wundef",
    "-Wvla",
]

# Abseil's and Benchmark's headers come by -iquote and -I, where the compilers apply our warnings to
# them. GCC drops such a folder when -isystem names it again; Clang takes prefixes. GCC also reports
# fences of inlined functions, which ThreadSanitizer does not see; Asio's guard nothing that its mutexes
# do not, and we have none.
_QUIET_EXTERNAL_HEADERS = select({
    "//tools/build:clang": [
        "--system-header-prefix=absl/",
        "--system-header-prefix=benchmark/",
    ],
    "//conditions:default": [
        "-isystem",
        "external/com_google_absl",
        "-isystem",
        "$(BINDIR)/external/com_github_google_benchmark/_virtual_includes/benchmark",
        "-Wno-tsan",
    ],
})

# Without optimisation the stress tests take three times as long. The attribute `copts` follows the
# command line, so this must not be said in a build that asked for its own level.
_OPTIMIZE_A_LITTLE = select({
    "//tools/build:fastbuild": ["-O1"],
    "//conditions:default": [],
})

# For libraries and programs.
WEAKREF_COPTS = _WARNINGS + _QUIET_EXTERNAL_HEADERS + _OPTIMIZE_A_LITTLE

# For tests and benchmarks, which compare what they should not (a value with itself after a move) and
# whose GoogleTest macros expand in our lines.
WEAKREF_TEST_COPTS = WEAKREF_COPTS + [
    "-Wno-sign-compare",
] + select({
    "//tools/build:clang": [
        "-Wno-self-assign-overloaded",
        "-Wno-self-move",
    ],
    "//conditions:default": [],
})
