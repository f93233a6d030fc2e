"""Tests of count_tests.py."""

import os
import tempfile
import unittest

import count_tests

PASSED = '<testcase name="a" status="run" result="completed"/>'
FAILED = '<testcase name="b" status="run"><failure message="m"/></testcase>'
SKIPPED = '<testcase name="c" status="run" result="skipped"><skipped message="m"/></testcase>'
DISABLED = '<testcase name="d" status="notrun" result="suppressed"/>'


class CountTestsTest(unittest.TestCase):

  def setUp(self):
    self.folder = tempfile.TemporaryDirectory(prefix='count tests')
    self.addCleanup(self.folder.cleanup)
    self.events = []

  def add_result(self, label, *cases, status='PASSED', xml=None, **key):
    path = os.path.join(self.folder.name, f'{len(self.events)}.xml')
    with open(path, 'w', encoding='utf-8') as file:
      file.write(xml or '<testsuites><testsuite>%s</testsuite></testsuites>' % ''.join(cases))
    uri = 'file://' + path.replace(' ', '%20')
    self.events += [
        {'id': {'targetCompleted': {'label': label}}, 'completed': {'success': True}},
        {'id': {'testResult': dict(label=label, **key)},
         'testResult': {'status': status, 'testActionOutput': [{'name': 'test.log'}, {'name': 'test.xml', 'uri': uri}]}},
        {'id': {'testSummary': {'label': label}}, 'testSummary': {'overallStatus': status}},
    ]

  def count(self, **options):
    return tuple(count_tests.count_events(self.events, **options)[0])

  def test_cases_are_counted(self):
    self.add_result('//a', PASSED, PASSED, SKIPPED, DISABLED)
    self.add_result('//b', PASSED, FAILED, status='FAILED')
    self.assertEqual(self.count(bazel_status=3), (3, 1, 2))

  def test_nothing_ran(self):
    self.assertEqual(self.count(bazel_status=4), (0, 0, 0))

  def test_target_without_cases_fails_unless_filtered(self):
    self.add_result('//a')
    self.assertEqual(self.count(), (0, 1, 0))
    self.assertEqual(self.count(filtered=True), (0, 0, 0))

  def test_empty_shard_is_fine(self):
    self.add_result('//a', shard=1)
    self.add_result('//a', PASSED, shard=2)
    self.assertEqual(self.count(), (1, 0, 0))

  def test_shards_and_runs_add_up_attempts_do_not(self):
    self.add_result('//a', PASSED, shard=1, run=1)
    self.add_result('//a', PASSED, shard=2, run=1)
    self.add_result('//a', PASSED, shard=2, run=2)
    self.add_result('//b', FAILED, status='FAILED', attempt=1)
    self.add_result('//b', PASSED, attempt=2)
    self.assertEqual(self.count(), (4, 0, 0))

  def test_exit_code_without_failed_case(self):
    self.add_result('//a', PASSED, PASSED, status='FAILED')
    self.assertEqual(self.count(bazel_status=3), (2, 1, 0))

  def test_cut_off_xml(self):
    self.add_result('//a', status='TIMEOUT', xml='<testsuites><testsuite>')
    self.assertEqual(self.count(bazel_status=3), (0, 1, 0))

  def test_target_that_was_not_built(self):
    self.add_result('//a', PASSED)
    self.events.append({'id': {'targetCompleted': {'label': '//b'}}, 'completed': {}})
    self.events.append({'id': {'targetCompleted': {'label': '//c'}}, 'aborted': {'reason': 'ANALYSIS_FAILURE'}})
    self.events.append({'id': {'testSummary': {'label': '//b'}}, 'testSummary': {'overallStatus': 'NO_STATUS'}})
    self.assertEqual(self.count(bazel_status=1), (1, 2, 0))

  def test_bazel_failed_early(self):
    self.assertEqual(self.count(bazel_status=1), (0, 1, 0))
    self.add_result('//a', PASSED)
    self.assertEqual(self.count(bazel_status=1), (1, 1, 0))


if __name__ == '__main__':
  unittest.main()
