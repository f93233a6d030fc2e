"""Tests of check_labels.py: snippets that pass, and snippets that fail with a given message."""

import unittest

import check_labels

PAIR = '''
// [put.release] pairs with [get.acquire]; carries the value; breaks Model.GetSeesPut.
word_.store(1, std::memory_order_release);

// [get.acquire] pairs with [put.release]; carries the value; breaks
// Model.GetSeesPut.
return word_.load(std::memory_order_acquire);
'''


def errors_in(*texts):
  sources = [check_labels.Source(f'{i}.h', text) for i, text in enumerate(texts)]
  return [f'{e.path}:{e.line}: {e.text}' for e in check_labels.Checker().check(sources)]


class CheckLabelsTest(unittest.TestCase):

  def expect_good(self, *texts):
    self.assertEqual(errors_in(*texts), [])

  def expect_error(self, expected, *texts):
    errors = errors_in(*texts)
    self.assertTrue(any(expected in e for e in errors), f'{expected!r} not in {errors}')

  def test_pair_in_one_file(self):
    self.expect_good(PAIR)

  def test_pair_across_files(self):
    put, get = PAIR.strip().split('\n\n')
    self.expect_good(put, get)

  def test_line_number(self):
    self.expect_error('0.h:3: release order without a label', '\n\nw.store(1, std::memory_order_release);')

  def test_order_without_label(self):
    self.expect_error('acquire order without a label', 'w.load(std::memory_order_acquire);')
    self.expect_error('acquire order without a label', 'w.load(std::memory_order::acquire);')
    self.expect_error('acq_rel order without a label', 'std::atomic_thread_fence(std::memory_order_acq_rel);')

  def test_label_of_another_kind_does_not_do(self):
    self.expect_error('0.h:3: acq_rel order without a label',
                      PAIR.replace('word_.store(1, std::memory_order_release)',
                                   'word_.exchange(1, std::memory_order_acq_rel)'))

  def test_label_of_the_statement_before_does_not_do(self):
    self.expect_error('release order without a label',
                      PAIR.replace('memory_order_release);',
                                   'memory_order_release);\nx.store(1, std::memory_order_release);'))

  def test_blank_line_separates(self):
    self.expect_error('release order without', PAIR.replace('word_.store', '\nword_.store'))

  def test_label_above_statement_of_several_lines(self):
    self.expect_good(PAIR.replace('word_.store(1, ', 'if (word_.compare_exchange_strong(\n  a, 1,\n  ').replace(
        'memory_order_release);', 'memory_order_release,\n  // relaxed: tried again\n  std::memory_order_relaxed)) {'))

  def test_label_on_the_line_itself(self):
    self.expect_good('''
x.fetch_sub(1, std::memory_order_acq_rel);  // [n.acq_rel] pairs with itself; carries x; breaks A.B.
''')

  def test_orders_instead_of_carries_and_several_tests(self):
    self.expect_good('''
// [n.seq_cst] pairs with itself; orders a before b; breaks A.B, C.D.
x.fetch_sub(1, std::memory_order_seq_cst);
''')

  def test_remarks_beside_carries(self):
    self.expect_good(PAIR.replace('; carries', '; an RMW, so that it is seen; carries'))
    self.expect_error('expected "pairs with', PAIR.replace('; carries the value', '; an RMW'))

  def test_label_shared_by_another_line(self):
    self.expect_good(PAIR + '// also [get.acquire]\nx.load(std::memory_order_acquire);')
    self.expect_error('[got.acquire] is not defined',
                      PAIR + '// also [got.acquire]\nx.load(std::memory_order_acquire);')

  def test_malformed_label(self):
    self.expect_error('expected "pairs with', PAIR.replace('carries the value; ', ''))
    self.expect_error('expected "pairs with', PAIR.replace('; breaks Model.GetSeesPut.', '.'))
    self.expect_error('expected "pairs with', PAIR.replace('[get.acquire];', 'the other one;'))

  def test_label_defined_twice(self):
    self.expect_error('[put.release] is defined twice', PAIR, PAIR)

  def test_one_way_label(self):
    third = '''
// [peek.acquire] pairs with [put.release]; carries the value; breaks Model.PeekSeesPut.
return word_.load(std::memory_order_acquire);
'''
    self.expect_error('[peek.acquire] pairs with [put.release], which does not name it back', PAIR + third)
    self.expect_good(PAIR.replace('with [get.acquire]', 'with [get.acquire], [peek.acquire]') + third)

  def test_missing_partner(self):
    self.expect_error('[get.acquire] is not defined', PAIR.strip().split('\n\n')[0])

  def test_mention_of_missing_label(self):
    self.expect_error('[none.release] is not defined', PAIR + '// see [none.release]\n')
    self.expect_good(PAIR + '// see [put.release]\n')

  def test_two_releases_do_not_pair(self):
    self.expect_error('one side has to release', '''
// [n.release] pairs with itself; carries x; breaks A.B.
x.store(1, std::memory_order_release);
''')

  def test_label_without_order(self):
    self.expect_error('[put.release] has no order', PAIR.replace('std::memory_order_release', 'order'))

  def test_relaxed(self):
    self.expect_error('relaxed order without', 'x.load(std::memory_order_relaxed);')
    self.expect_error('relaxed order without', '// a statistic\nx.load(std::memory_order_relaxed);')
    self.expect_good('x.load(std::memory_order_relaxed);  // relaxed: a statistic')
    self.expect_good('// The number, relaxed: a statistic.\nx.load(std::memory_order_relaxed);')

  def test_relaxed_comment_covers_a_run_of_lines(self):
    run = '''
// relaxed: statistics
a.store(1, std::memory_order_relaxed);
b.store(1, std::memory_order_relaxed);
'''
    self.expect_good(run)
    self.expect_error('0.h:5: relaxed', run.replace('b.store', 'f();\nb.store'))
    self.expect_error('0.h:5: relaxed', run.replace('b.store', '\nb.store'))

  def test_default_order(self):
    for code in ('x.load()', 'x->store(1)', 'x.exchange(f(1, 2))', 'x.fetch_add(1)', 'x.fetch_or(1)',
                 'x.compare_exchange_weak(a,\n  b)', 'flag.test_and_set()'):
      self.expect_error('spell out the memory order', code + ';')
    self.expect_good('std::exchange(a, b);')
    self.expect_good('x.load(order);')

  def test_operators_on_atomic_members(self):
    for code in ('n_++', '++n_', 'n_ = 3', 'n_ += 3', 'n_ |= 3'):
      self.expect_error('n_ is atomic', f'std::atomic<int> n_{{0}};\n{code};')
      self.expect_good(f'int n_ = 0;\n{code};')
    self.expect_good('std::atomic<int> n_ = 0;\nif (a == b) return m_ == 3;')
    self.expect_error('n_ is atomic', 'typename Sync::template Atomic<T*> n_;\nn_ = nullptr;')

  def test_alias_of_an_order(self):
    alias = 'inline constexpr std::memory_order kPublish = std::memory_order_release;\n'
    self.expect_error('0.h:2: release order without a label', alias + 'x.store(1, kPublish);')
    self.expect_good(alias + PAIR.replace('std::memory_order_release', 'kPublish'))

  def test_consume(self):
    self.expect_error('consume', 'x.load(std::memory_order_consume);')

  def test_comments_and_strings_are_not_code(self):
    self.expect_good('// x.load(std::memory_order_acquire)\n')
    self.expect_good('f("memory_order_acquire");')
    self.expect_good('/* x.load(\n memory_order_acquire) */ f();')

  def test_signal_fence_is_for_the_compiler_only(self):
    self.expect_good('std::atomic_signal_fence(std::memory_order_seq_cst);')

  def test_named_tests(self):
    checker = check_labels.Checker()
    checker.check([check_labels.Source('a.h', PAIR)])
    self.assertEqual(checker.check_tests({'Model.GetSeesPut'}), [])
    self.assertEqual(len(checker.check_tests({'Model.Other'})), 2)


if __name__ == '__main__':
  unittest.main()
