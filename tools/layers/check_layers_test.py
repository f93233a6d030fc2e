"""Tests of check_layers.py."""

import unittest

import check_layers


def messages(path, *lines):
  return [message for _, message in check_layers.errors_in(path, '\n'.join(lines))]


class CheckLayersTest(unittest.TestCase):

  def test_every_layer_may_include_itself_and_those_below(self):
    order = ['weakref/internal/table/a.h', 'weakref/a.h', 'cache/internal/a.h', 'cache/a.h',
             'examples/x/a.h', 'tests/unit/a.h']
    for i, upper in enumerate(order):
      for j, lower in enumerate(order):
        found = messages(upper, f'#include "{lower}"')
        self.assertEqual(len(found), 1 if j > i else 0, f'{upper} includes {lower}')

  def test_references_and_dispatch_are_one_layer(self):
    self.assertEqual(messages('weakref/a.h', '#include "weakref/dispatch/a.h"'), [])
    self.assertEqual(messages('weakref/dispatch/a.h', '#include "weakref/a.h"'), [])
    self.assertEqual(len(messages('weakref/internal/a.h', '#include "weakref/dispatch/a.h"')), 1)

  def test_examples_and_benchmarks_stand_side_by_side(self):
    self.assertEqual(messages('bench/a.cc', '#include "examples/a.h"'), ['examples/a.h: bench/ must not include examples/'])
    self.assertEqual(messages('bench/a.cc', '#include "cache/a.h"'), [])

  def test_boost(self):
    for path in 'weakref/dispatch/asio_executor.h', 'cache/async.h', 'examples/x/a.cc', 'tests/unit/a.cc':
      self.assertEqual(messages(path, '#include <boost/asio.hpp>'), [])
    for path in 'weakref/a.h', 'weakref/internal/a.h', 'cache/weak_value_cache.h', 'cache/internal/async.h':
      self.assertEqual(messages(path, '#include <boost/asio.hpp>'), ['boost/asio.hpp: Boost is not for this layer'])

  def test_relative_and_angled_includes_of_ours(self):
    self.assertEqual(len(messages('cache/a.cc', '#include "a.h"', '#include "../weakref/a.h"', '#include <cache/a.h>')), 3)

  def test_strangers_are_left_alone(self):
    self.assertEqual(messages('cache/a.cc', '#include <vector>', '#include "absl/time/time.h"', '// #include "tests/a.h"'), [])
    self.assertEqual(messages('tools/a.cc', '#include "tests/a.h"'), [])


if __name__ == '__main__':
  unittest.main()
