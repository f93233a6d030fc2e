#!/usr/bin/env python3
"""Counts the test cases of one `bazel test` run from its build event file.

Prints "N passed, N failed", with ", N skipped" if there are any, and exits with 1 if a case failed,
none passed, or Bazel itself failed.

A case is a <testcase> of a target's test.xml. Cases of all shards and runs count, of several attempts
the last. What leaves no failed case behind is counted as one: a target that did not build, timed out,
crashed, left no test.xml or ran no case, and a failure of Bazel before it ran any target.
"""

import argparse
import collections
import json
import os
import sys
import urllib.parse
import xml.etree.ElementTree

Count = collections.namedtuple('Count', 'passed failed skipped')
NOTHING = Count(0, 0, 0)


def add(a, b):
  return Count(*(x + y for x, y in zip(a, b)))


def count_xml(path):
  """The cases in a test.xml; nothing if the file is missing or cut off."""
  try:
    root = xml.etree.ElementTree.parse(path).getroot()
  except (OSError, xml.etree.ElementTree.ParseError):
    return NOTHING
  count = NOTHING
  for case in root.iter('testcase'):
    if case.find('failure') is not None or case.find('error') is not None:
      count = add(count, Count(0, 1, 0))
    elif (case.find('skipped') is not None or case.get('status') == 'notrun' or
          case.get('result') in ('skipped', 'suppressed')):
      count = add(count, Count(0, 0, 1))
    else:
      count = add(count, Count(1, 0, 0))
  return count


def count_result(result):
  """The cases of one testResult event: one attempt of one shard."""
  count = NOTHING
  for output in result.get('testActionOutput', []):
    if output.get('name') == 'test.xml':
      count = count_xml(urllib.parse.unquote(urllib.parse.urlparse(output.get('uri', '')).path))
  if result.get('status') != 'PASSED' and count.failed == 0:
    count = add(count, Count(0, 1, 0))
  return count


def count_events(events, bazel_status=0, filtered=False):
  """The cases of a run, and messages about what counts without being a case."""
  messages = []
  last_attempt = {}  # (label, run, shard) -> (attempt, result)
  unbuilt = set()
  tests = {}  # label -> Count
  for event in events:
    kind = event.get('id', {})
    if 'testResult' in kind:
      key = kind['testResult']
      shard = (key['label'], key.get('run', 0), key.get('shard', 0))
      attempt = key.get('attempt', 0)
      if shard not in last_attempt or attempt >= last_attempt[shard][0]:
        last_attempt[shard] = (attempt, event.get('testResult', {}))
    elif 'targetCompleted' in kind:
      if not event.get('completed', {}).get('success'):
        unbuilt.add(kind['targetCompleted']['label'])
    elif 'testSummary' in kind:
      tests.setdefault(kind['testSummary']['label'], NOTHING)

  for (label, _, _), (_, result) in last_attempt.items():
    tests[label] = add(tests.get(label, NOTHING), count_result(result))
  for label in unbuilt:
    messages.append(f'{label}: not built')
    tests[label] = add(tests.get(label, NOTHING), Count(0, 1, 0))
  for label, count in tests.items():
    if count == NOTHING and not filtered:
      messages.append(f'{label}: ran no test case')
      tests[label] = Count(0, 1, 0)

  total = NOTHING
  for count in tests.values():
    total = add(total, count)
  # 4: Bazel found no tests at all, which the counts say by themselves.
  if bazel_status not in (0, 4) and total.failed == 0:
    messages.append(f'bazel test failed with status {bazel_status}')
    total = add(total, Count(0, 1, 0))
  return total, messages


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument('--bazel_status', type=int, default=0)
  parser.add_argument('--filtered', action='store_true', help='targets without cases are fine')
  parser.add_argument('events')
  arguments = parser.parse_args()

  events = []
  if os.path.exists(arguments.events):
    with open(arguments.events, encoding='utf-8') as lines:
      events = [json.loads(line) for line in lines if line.strip()]
  total, messages = count_events(events, arguments.bazel_status, arguments.filtered)
  for message in sorted(messages):
    print(message, file=sys.stderr)
  line = f'{total.passed} passed, {total.failed} failed'
  if total.skipped:
    line += f', {total.skipped} skipped'
  sys.stderr.flush()
  print(line, flush=True)
  return 0 if total.failed == 0 and total.passed > 0 else 1


if __name__ == '__main__':
  sys.exit(main())
