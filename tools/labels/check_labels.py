#!/usr/bin/env python3
"""Checks that every atomic order in the library is explained, and every pairing is said by both sides.

usage: check_labels.py [--tests=DIR] [--require_tests] [FOLDER or FILE ...]    (default: weakref cache)

The comments of an order are those on its line, between the lines of its statement, and directly above
the statement. What they must say:

  a stronger order than relaxed: a label with its three parts, wrapped as need be
      // [last-strong.release] pairs with [last-strong.acquire], [promote.acq_rel]; carries every
      // owner's writes to the object; breaks ControlBlockModel.DestructorSeesAllWrites.
    - the part after the dot is the order: acquire, release, acq_rel, seq_cst
    - "orders X before Y" may stand for "carries X": an order that publishes nothing; further
      remarks may stand beside it, set off by semicolons
    - "pairs with itself": the same line, run by another thread
    - "breaks" names the tests, Suite.Name, that fail when the order is weakened
  another line with the same meaning as a label defined elsewhere
      // also [last-strong.release]
  relaxed: why nothing is published by it; one comment does for a run of lines without a gap
      // relaxed: a statistic

Errors: an order without a label of its kind; a label that is malformed, defined twice, or has no order
under it; a partner that does not exist or does not name the label back; two releases or two acquires
that pair; a mention of a label that does not exist; a relaxed order that is not explained; an atomic
operation whose order is not spelled out; memory_order_consume. With --require_tests also a test that
does not exist. A constant of type std::memory_order counts as the order it is initialised with.

Cannot see: an implicit load of an atomic (`if (flag_)`), or an order that arrives as a parameter.
"""

import argparse
import collections
import os
import re
import sys

KINDS = ('acquire', 'release', 'acq_rel', 'seq_cst')
LABEL = r'\[[a-z0-9-]+\.(?:%s)\]' % '|'.join(KINDS)
DEFINITION = re.compile(r'(?<!also )(%s) pairs with\b' % LABEL)
WELL_FORMED = re.compile(
    r'(?P<name>%s) pairs with (?P<partners>itself|%s(?:(?:, | and )(?:itself|%s))*); '
    r'(?=(?:(?! pairs with ).)*?\b(?:carries|orders) )(?:(?! pairs with ).)+?; breaks (?P<tests>\w+\.\w+(?:(?:, | and )\w+\.\w+)*)\.(?!\w)'
    % (LABEL, LABEL, LABEL))
ALSO = re.compile(r'\balso (%s)' % LABEL)
RELAXED_COMMENT = re.compile(r'\brelaxed\b[^.:;]*: *\S')

ORDER = re.compile(r'\bmemory_order(?:_|::)(\w+)')
ALIAS = re.compile(r'\bmemory_order\s+(\w+)\s*(?:=|\{)\s*(?:std::)?memory_order(?:_|::)(\w+)')
OPERATION = re.compile(
    r'(?:\.|->)\s*(load|store|exchange|fetch_\w+|compare_exchange_\w+|test_and_set)\s*\(')
ATOMIC_MEMBER = re.compile(r'\b(?:[Aa]tomic\s*<.*>|atomic_\w+)\s+(\w+_)\s*(?=[;{=(]|$)')

Error = collections.namedtuple('Error', 'path line text')
Definition = collections.namedtuple('Definition', 'path line partners tests')


class Source:
  """A file, split into code and comments line by line."""

  def __init__(self, path, text):
    self.path = path
    self.code = []
    self.comments = []
    in_block = False
    for line in text.splitlines():
      code, comment, in_block = split_line(line, in_block)
      self.code.append(code.rstrip())
      self.comments.append(comment)

  def is_comment_only(self, i):
    return not self.code[i] and self.comments[i] is not None

  def ends_statement(self, i):
    code = self.code[i]
    return code.lstrip().startswith('#') or code.endswith((';', '{', '}', ':'))

  def comment_lines(self, i, through=None):
    """The lines that explain the code of line `i`, from the top. The walk up stops where another
    statement ends, unless `through` holds for that line."""
    lines = [i]
    while i > 0:
      i -= 1
      if not self.code[i] and self.comments[i] is None:
        break
      if self.code[i] and self.ends_statement(i) and not (through and through(i)):
        break
      lines.append(i)
    return [j for j in reversed(lines) if self.comments[j] is not None]

  def text(self, lines):
    return ' '.join(' '.join(self.comments[j] for j in lines).split())


def split_line(line, in_block):
  """(code without strings' contents, comment or None, whether a /* goes on)."""
  code, comment = '', None
  i = 0
  while i < len(line):
    if in_block:
      end = line.find('*/', i)
      comment = (comment or '') + (line[i:] if end < 0 else line[i:end])
      if end < 0:
        return code, comment, True
      i, in_block = end + 2, False
    elif line.startswith('//', i):
      return code, (comment or '') + line[i + 2:].lstrip('/').strip(), False
    elif line.startswith('/*', i):
      in_block, i = True, i + 2
      comment = comment or ''
    elif line[i] == '"' or (line[i] == "'" and not (i and line[i - 1].isalnum())):
      quote, i = line[i], i + 1
      while i < len(line) and line[i] != quote:
        i += 2 if line[i] == '\\' else 1
      code, i = code + quote + quote, i + 1
    else:
      code, i = code + line[i], i + 1
  return code, comment, in_block


def arguments_from(source, i, column):
  """The text between the parenthesis that opens before (i, column) and the one that closes it."""
  depth, text = 1, ''
  while i < len(source.code):
    for c in source.code[i][column:]:
      depth += {'(': 1, ')': -1}.get(c, 0)
      if depth == 0:
        return text
      text += c
    i, column, text = i + 1, 0, text + ' '
  return text


class Checker:

  def __init__(self):
    self.errors = []
    self.definitions = {}
    self.used = set()  # labels with an order under them
    self.mentions = []  # (path, line, label)
    self.relaxed = 0
    self.aliases = {}

  def fail(self, source, i, text):
    self.errors.append(Error(source.path, i + 1, text))

  def check(self, sources):
    for source in sources:
      for code in source.code:
        self.aliases.update(ALIAS.findall(code))
    for source in sources:
      self.read_labels(source)
    for source in sources:
      self.check_orders(source)
      self.check_spelled_out(source)
    self.check_pairs()
    return sorted(set(self.errors))

  def orders(self, code):
    """The orders that a line of code names."""
    if ALIAS.search(code) or 'atomic_signal_fence' in code:
      return []
    found = [kind for kind in ORDER.findall(code)]
    for name, kind in self.aliases.items():
      found += [kind] * len(re.findall(r'\b%s\b' % name, code))
    return found

  def read_labels(self, source):
    i = 0
    while i < len(source.code):
      if source.comments[i] is None:
        i += 1
        continue
      block = [i]
      while source.is_comment_only(block[-1]) and block[-1] + 1 < len(source.code) and \
          source.is_comment_only(block[-1] + 1):
        block.append(block[-1] + 1)
      self.read_block(source, block)
      i = block[-1] + 1

  def read_block(self, source, block):
    text = source.text(block)

    def line_of(label):
      return next((j for j in block if label in source.comments[j]), block[0])

    for label in re.findall(LABEL, text):
      self.mentions.append((source, line_of(label), label))
    for start in DEFINITION.finditer(text):
      label = start.group(1)
      line = line_of(label)
      match = WELL_FORMED.match(text, start.start())
      if not match:
        self.fail(source, line, f'{label}: expected "pairs with [a.b]; carries ...; breaks Suite.Name."')
      if label in self.definitions:
        other = self.definitions[label]
        self.fail(source, line, f'{label} is defined twice, also at {other.path}:{other.line}')
        continue
      partners = tests = ()
      if match:
        partners = [label if p == 'itself' else p
                    for p in re.findall(r'itself|%s' % LABEL, match.group('partners'))]
        tests = re.findall(r'\w+\.\w+', match.group('tests'))
      self.definitions[label] = Definition(source.path, line + 1, partners, tests)

  def check_orders(self, source):
    for i, code in enumerate(source.code):
      for kind in self.orders(code):
        if kind == 'relaxed':
          self.relaxed += 1
          lines = source.comment_lines(i, lambda j: 'relaxed' in self.orders(source.code[j]))
          if not RELAXED_COMMENT.search(source.text(lines)):
            self.fail(source, i, 'relaxed order without "// relaxed: why nothing is published"')
        elif kind not in KINDS:
          self.fail(source, i, f'memory_order_{kind} is not used here')
        else:
          text = source.text(source.comment_lines(i))
          labels = [label for label in DEFINITION.findall(text) + ALSO.findall(text)
                    if label.endswith(f'.{kind}]')]
          self.used.update(labels)
          if not labels:
            self.fail(source, i, f'{kind} order without a label [name.{kind}]')

  def check_spelled_out(self, source):
    members = set(name for code in source.code for name in ATOMIC_MEMBER.findall(code))
    for i, code in enumerate(source.code):
      for match in OPERATION.finditer(code):
        arguments = arguments_from(source, i, match.end())
        if not self.orders(arguments) and not re.search(r'order\b', arguments):
          self.fail(source, i, f'{match.group(1)}: spell out the memory order')
      for name in members:
        pattern = r'(?:\+\+|--)\s*%s\b|\b%s\s*(?:\+\+|--|[-+|&^]?=(?!=))' % (name, name)
        if re.search(pattern, code) and not ATOMIC_MEMBER.search(code):
          self.fail(source, i, f'{name} is atomic: use an operation with a memory order')

  def check_pairs(self):
    for source, line, label in self.mentions:
      if label not in self.definitions:
        self.fail(source, line, f'{label} is not defined anywhere')
    for label, definition in self.definitions.items():

      def fail(text):
        self.errors.append(Error(definition.path, definition.line, f'{label} {text}'))

      if label not in self.used:
        fail('has no order of its kind under it')
      for partner in definition.partners:
        kinds = {label.rsplit('.', 1)[1], partner.rsplit('.', 1)[1]}
        if kinds in ({'acquire]'}, {'release]'}):
          fail(f'pairs with {partner}: one side has to release, the other to acquire')
        other = self.definitions.get(partner)
        if other and label not in other.partners:
          fail(f'pairs with {partner}, which does not name it back ({other.path}:{other.line})')

  def check_tests(self, existing):
    """Errors for tests that labels name and that do not exist."""
    return [Error(d.path, d.line, f'{label} breaks {test}, which does not exist')
            for label, d in sorted(self.definitions.items()) for test in d.tests
            if test not in existing]


def find_files(paths, endings=('.h', '.cc')):
  for path in paths:
    if os.path.isfile(path):
      yield path
    for folder, _, names in sorted(os.walk(path)):
      for name in sorted(names):
        if name.endswith(endings):
          yield os.path.join(folder, name)


def read(path):
  with open(path, encoding='utf-8') as file:
    return file.read()


def existing_tests(folder):
  tests = set()
  for path in find_files([folder], ('.cc', '.h')):
    tests.update('.'.join(t) for t in re.findall(r'\bTEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)', read(path)))
  return tests


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument('--tests', default='tests', help='folder in which the named tests are looked up')
  parser.add_argument('--require_tests', action='store_true', help='a named test has to exist')
  parser.add_argument('paths', nargs='*', default=['weakref', 'cache'])
  arguments = parser.parse_args()

  sources = [Source(path, read(path)) for path in find_files(arguments.paths)]
  checker = Checker()
  errors = checker.check(sources)
  missing = checker.check_tests(existing_tests(arguments.tests))
  if arguments.require_tests:
    errors = sorted(errors + missing)
  for error in errors:
    print(f'{error.path}:{error.line}: {error.text}')
  if not sources:
    print('no sources')
    return 1
  figure = f'{len(checker.definitions)} labels, {checker.relaxed} relaxed orders explained'
  if errors:
    figure = f'{len(errors)} errors in {figure}'
  else:
    figure = figure.replace('labels', 'labels paired')
  if missing and not arguments.require_tests:
    figure += f', {len(set(e.text for e in missing))} tests that labels name are still to be written'
  print(figure)
  return 1 if errors else 0


if __name__ == '__main__':
  sys.exit(main())
