#!/usr/bin/env python3
"""Checks that no #include goes against the order of the layers.

usage: check_layers.py [FILE ...]    (default: all C++ sources that git knows or would add)

A file may include its own layer and those below it. From the bottom:

  weakref/internal → weakref, weakref/dispatch → cache/internal → cache → examples, bench

Tests include everything, and nothing but tests includes tests. Examples and benchmarks do not include
each other. Files of tools/ stand outside. Boost is included only by weakref/dispatch/asio_*, by
cache/async*, by examples, benchmarks and tests. Includes of ours name the path from the top folder.
A file internal/..._impl.h is the end of the public header that includes it, and of that layer.
"""

import re
import subprocess
import sys

# folder → rank; the longest prefix counts. What is not listed is not ours.
RANKS = {
    'weakref/internal/': 0,
    'weakref/': 1,
    # weakref/dispatch/ is on a level with weakref/: each may include the other.
    'cache/internal/': 2,
    'cache/': 3,
    'examples/': 4,
    'bench/': 4,
    'tests/': 5,
}
BOOST_ALLOWED = re.compile(r'(?:weakref/dispatch/asio_|cache/async|examples/|bench/|tests/)')
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def layer(path):
  path = re.sub(r'internal/(\w+_impl\.h)$', r'\1', path)
  return max((folder for folder in RANKS if path.startswith(folder)), key=len, default=None)


def errors_in(path, text):
  """(line number, message) for each include in `text` that the file at `path` may not have."""
  own = layer(path)
  if own is None:
    return
  for number, line in enumerate(text.splitlines(), start=1):
    match = INCLUDE.match(line)
    if not match:
      continue
    quoted, angled = match.groups()
    target = quoted or angled
    if target.startswith('boost/') and not BOOST_ALLOWED.match(path):
      yield number, f'{target}: Boost is not for this layer'
    if quoted and (target.startswith('.') or '/' not in target):
      yield number, f'{target}: name the path from the top folder'
    other = layer(target)
    if other is None:
      continue
    if angled:
      yield number, f'<{target}>: ours is included with quotes'
    if RANKS[other] > RANKS[own] or (RANKS[other] == RANKS[own] and other != own):
      yield number, f'{target}: {own} must not include {other}'


def main():
  paths = sys.argv[1:]
  if not paths:
    listing = subprocess.run(
        ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', '*.h', '*.cc'],
        check=True, capture_output=True, text=True).stdout
    paths = sorted(path for path in listing.split('\0') if path)
  includes = failed = 0
  for path in paths:
    try:
      with open(path, encoding='utf-8') as file:
        text = file.read()
    except FileNotFoundError:  # deleted, not yet staged
      continue
    includes += sum(1 for line in text.splitlines() if INCLUDE.match(line))
    for number, message in errors_in(path, text):
      print(f'{path}:{number}: {message}')
      failed += 1
  print(f'{failed} of {includes} includes against the layers' if failed else f'{includes} includes follow the layers')
  return 1 if failed else 0


if __name__ == '__main__':
  sys.exit(main())
