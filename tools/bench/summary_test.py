"""Tests of summary.py on made-up results."""

import unittest

import summary

OURS = ['StrongRef', 'WeakValueCache']


def result(name, time, **more):
  return dict(name=name, run_name=name, run_type='iteration', real_time=time, cpu_time=time, time_unit='ns', **more)


def summarize(*results):
  return summary.summarize(results, OURS, 'Floor')


class SummaryTest(unittest.TestCase):

  def test_names(self):
    self.assertEqual(
        summary.parse_name('BM_WeakValueCache_FindHit/keys:100000/zipf:0/real_time/threads:2'),
        ('WeakValueCache', 'FindHit', 'keys:100000/zipf:0/threads:2'))
    self.assertEqual(summary.parse_name('BM_StrongRef_Copy'), ('StrongRef', 'Copy', ''))
    self.assertEqual(summary.parse_name('BM_Map_Get_Or/8/repeats:5/min_time:0.1'), ('Map', 'Get_Or', '8'))
    self.assertIsNone(summary.parse_name('Something/8'))

  def test_median_spread_and_ratios(self):
    groups = summarize(
        *(result('BM_WeakValueCache_Find/keys:10', t) for t in (12, 10, 30)),
        *(result('BM_MutexMap_Find/keys:10', t) for t in (36, 24, 25)),
        *(result('BM_Floor_Find/keys:10', t) for t in (5, 6, 7)))
    self.assertEqual(groups, {('Find', 'keys:10'): [
        summary.Row('WeakValueCache', 12, 10, 30, 1, 2, None),
        summary.Row('MutexMap', 25, 24, 36, 25 / 12, 25 / 6, None),
        summary.Row('Floor', 6, 5, 7, 0.5, 1, None),
    ]})

  def test_aggregates_are_not_counted_again(self):
    mean = dict(result('BM_Floor_Find_mean', 1000), run_name='BM_Floor_Find', run_type='aggregate')
    groups = summarize(result('BM_Floor_Find', 10), mean)
    self.assertEqual(groups['Find', ''][0].high, 10)

  def test_groups_in_natural_order(self):
    groups = summarize(*(result(f'BM_Floor_Find/keys:{n}', 1) for n in (100, 9, 10)))
    self.assertEqual([arguments for _, arguments in groups], ['keys:9', 'keys:10', 'keys:100'])

  def test_without_ours_or_floor(self):
    row, = summarize(result('BM_MutexMap_Find', 10))['Find', '']
    self.assertIsNone(row.to_ours)
    self.assertIsNone(row.to_floor)

  def test_wall_time_where_the_benchmark_asks_for_it(self):
    groups = summarize(dict(result('BM_Floor_A/real_time', 0), real_time=2, cpu_time=1),
                       dict(result('BM_Floor_B', 0), real_time=2, cpu_time=1))
    self.assertEqual(groups['A', ''][0].median, 2)
    self.assertEqual(groups['B', ''][0].median, 1)

  def test_units(self):
    row, = summarize(dict(result('BM_Floor_A', 3), time_unit='us'))['A', '']
    self.assertEqual(row.median, 3000)

  def test_error(self):
    groups = summarize(dict(result('BM_Floor_A', 0), error_occurred=True, error_message='no memory'))
    row, = groups['A', '']
    self.assertEqual((row.median, row.error), (None, 'no memory'))
    self.assertIn('no memory', '\n'.join(summary.table(groups)))

  def test_table(self):
    groups = summarize(result('BM_StrongRef_Copy/threads:1', 10), result('BM_SharedPtr_Copy/threads:1', 25.04))
    self.assertEqual(summary.table(groups), [
        'Copy  threads:1',
        '             median ns    min .. max  / ours  / floor',
        '  StrongRef       10.0  10.0 .. 10.0    1.00        -',
        '  SharedPtr       25.0  25.0 .. 25.0    2.50        -',
        '',
    ])


if __name__ == '__main__':
  unittest.main()
