#!/usr/bin/env python3
"""Summarises results of Google Benchmark (--benchmark_out=FILE) as a table with ratios.

usage: summary.py [--ours=NAME,...] [--floor=NAME] FILE.json ...

A benchmark is called BM_<Subject>_<Operation>/<arguments>, for example
  BM_WeakValueCache_FindHit/keys:100000/zipf:0/threads:1
Subjects with the same operation and arguments are contestants and stand together. Each gets the median
of its repetitions with the smallest and the largest, in nanoseconds an operation, and two ratios of
medians: to ours (above 1: ours is faster) and to the floor, the subject that does only what nobody can
avoid. The time is wall time where the benchmark asks for it (UseRealTime), else CPU time.

Only results of one file are compared, so ratios are of one run on one machine. Exits with 1 if a
benchmark reported an error or there is nothing to show.
"""

import argparse
import collections
import json
import re
import statistics
import sys

OURS = 'StrongRef,WeakRef,WeakValueCache'
NAME = re.compile(r'BM_(?P<subject>[^_/]+)_(?P<operation>[^/]+)(?P<arguments>(?:/.*)?)$')
# Parts of a name that say how it was measured, not what.
HOW = re.compile(r'/(?:real_time|process_time|manual_time|(?:repeats|iterations|min_time|min_warmup_time):[^/]*)')
NANOSECONDS = {'ns': 1.0, 'us': 1e3, 'ms': 1e6, 's': 1e9}

Row = collections.namedtuple('Row', 'subject median low high to_ours to_floor error')


def parse_name(name):
  """(subject, operation, arguments), or None if the name does not follow the convention."""
  match = NAME.match(HOW.sub('', name))
  if not match:
    return None
  return match.group('subject'), match.group('operation'), match.group('arguments').lstrip('/')


def natural(text):
  """A sorting key in which keys:9 comes before keys:10."""
  return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', text)]


def nanoseconds(result):
  name = result['name']
  wall = '/real_time' in name or '/manual_time' in name
  return result['real_time' if wall else 'cpu_time'] * NANOSECONDS[result.get('time_unit', 'ns')]


def summarize(results, ours, floor):
  """{(operation, arguments): [Row, ...]}, groups in natural order, ours first, the floor last."""
  times = collections.defaultdict(lambda: collections.defaultdict(list))
  errors = {}
  for result in results:
    # With repetitions, aggregates follow the single runs; we make our own.
    if result.get('run_type', 'iteration') != 'iteration':
      continue
    parsed = parse_name(result.get('run_name', result['name']))
    if parsed is None:
      continue
    subject, operation, arguments = parsed
    samples = times[operation, arguments][subject]
    if result.get('error_occurred'):
      errors[operation, arguments, subject] = result.get('error_message', 'error')
    else:
      samples.append(nanoseconds(result))

  groups = {}
  for group in sorted(times, key=lambda g: (g[0], natural(g[1]))):
    medians = {subject: statistics.median(samples) for subject, samples in times[group].items() if samples}
    our_median = next((medians[name] for name in ours if name in medians), None)
    floor_median = medians.get(floor)
    rows = []
    for subject, samples in times[group].items():
      median = medians.get(subject)
      rows.append(Row(
          subject, median, min(samples, default=None), max(samples, default=None),
          median / our_median if median and our_median else None,
          median / floor_median if median and floor_median else None,
          errors.get((*group, subject))))
    rows.sort(key=lambda row: (row.subject == floor, row.subject not in ours, row.median or 0, row.subject))
    groups[group] = rows
  return groups


def number(value):
  if value is None:
    return '-'
  return f'{value:.2f}' if value < 10 else f'{value:.1f}' if value < 100 else f'{value:.0f}'


def ratio(value):
  return '-' if value is None else f'{value:.2f}'


def table(groups):
  """The lines of the table."""
  header = ('', 'median ns', 'min .. max', '/ ours', '/ floor')
  lines = []
  for (operation, arguments), rows in groups.items():
    cells = [header]
    for row in rows:
      if row.error:
        cells.append((row.subject, 'error', row.error, '', ''))
      else:
        cells.append((row.subject, number(row.median), f'{number(row.low)} .. {number(row.high)}',
                      ratio(row.to_ours), ratio(row.to_floor)))
    widths = [max(len(cell[i]) for cell in cells) for i in range(len(header))]
    lines.append(f'{operation}  {arguments}'.rstrip())
    for cell in cells:
      columns = [cell[0].ljust(widths[0])] + [cell[i].rjust(widths[i]) for i in range(1, len(cell))]
      lines.append('  ' + '  '.join(columns).rstrip())
    lines.append('')
  return lines


def describe(context):
  """One line about the machine and the build."""
  parts = [f"{context.get('num_cpus', '?')} CPUs at {context.get('mhz_per_cpu', '?')} MHz"]
  parts += [f'{key} {context[key]}' for key in ('cpu', 'compiler', 'flags', 'commit', 'date') if key in context]
  if context.get('library_build_type') == 'debug':
    parts.append('DEBUG BUILD: the numbers mean nothing')
  if context.get('cpu_scaling_enabled'):
    parts.append('CPU frequency scaling is on')
  return '; '.join(parts)


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument('--ours', default=OURS, help=f'subjects that are ours (default: {OURS})')
  parser.add_argument('--floor', default='Floor', help='subject that is the floor (default: Floor)')
  parser.add_argument('files', nargs='+')
  arguments = parser.parse_args()

  shown = failed = 0
  for path in arguments.files:
    with open(path, encoding='utf-8') as file:
      document = json.load(file)
    groups = summarize(document.get('benchmarks', []), arguments.ours.split(','), arguments.floor)
    print(f'{path}: {describe(document.get("context", {}))}\n')
    print('\n'.join(table(groups)))
    rows = [row for group in groups.values() for row in group]
    shown += len(rows)
    failed += sum(1 for row in rows if row.error)
  return 1 if failed or not shown else 0


if __name__ == '__main__':
  sys.exit(main())
