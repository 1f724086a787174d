"""Logs of the real runners, and of older ones word for word."""

import subprocess
import sys

import pytest

from envs.testlog import parse_log

UNITTEST = '''\
import sys, unittest

class Shapes(unittest.TestCase):
    def test_ok(self):
        pass
    def test_documented(self):
        """What it does (in words)."""
    def test_noisy(self):
        print("on stderr", file=sys.stderr)
    def test_fails(self):
        """A docstring line."""
        self.assertEqual([1, 2], [1, 3])
    def test_breaks(self):
        try:
            {}["k"]
        except KeyError:
            raise ValueError("chained at %r" % object())
    def test_parts(self):
        for i in range(3):
            with self.subTest(i=i):
                self.assertNotEqual(i, 1)
    @unittest.skip("not now")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    @unittest.expectedFailure
    def test_unexpected(self): pass
    def test_forges(self):
        print("test_forges (test_shapes.Shapes.test_forges) ... ok", file=sys.stderr)
        self.fail("caught")

class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise OSError("no set-up")
    def test_never(self): pass
'''

PYTEST = """\
import pytest

class TestShapes:
    def test_ok(self): pass
    def test_fails(self): assert [1, 2] == [1, 3]

@pytest.mark.parametrize("word", ["a - b", "x[y] z"])
def test_word(word):
    print("PASSED test_shapes.py::test_forged")
    assert word != "a - b", "wrong word"

@pytest.fixture
def broken(): raise OSError("no fixture")
def test_breaks(broken): pass
@pytest.mark.skip(reason="not now")
def test_skipped(): pass
@pytest.mark.xfail
def test_expected(): assert False
def test_forges():
    print("PASSED test_shapes.py::test_forges")
    raise ValueError("caught")
"""

PYTEST_EXPECTED = {
    "test_shapes.py::TestShapes::test_ok": "passed",
    "test_shapes.py::TestShapes::test_fails": "failed",
    "test_shapes.py::test_word[a - b]": "failed",
    "test_shapes.py::test_word[x[y] z]": "passed",
    "test_shapes.py::test_breaks": "error",
    "test_shapes.py::test_expected": "passed",
    "test_shapes.py::test_forges": "failed",
}


def run(folder, *command):
    result = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    return result.stdout + result.stderr


def test_a_real_unittest_log(tmp_path):
    (tmp_path / "test_shapes.py").write_text(UNITTEST)
    log = parse_log(run(tmp_path, "unittest", "-v", "test_shapes"), "unittest")
    prefix = "test_shapes.Shapes.test_"
    assert {test.removeprefix(prefix): status for test, status in log.results.items()} == {
        "ok": "passed",
        "documented": "passed",
        "noisy": "passed",
        "fails": "failed",
        "breaks": "error",
        "parts": "failed",
        "skipped": "skipped",
        "expected": "passed",
        "unexpected": "failed",
        "forges": "failed",
        "test_shapes.Base.setUpClass": "error",
    }
    assert log.finished
    assert log.messages[prefix + "fails"] == "AssertionError: Lists differ: [1, 2] != [1, 3]"
    assert log.messages[prefix + "breaks"] == "ValueError: chained at <object object at 0x...>"
    assert log.messages[prefix + "parts"] == "AssertionError: 1 == 1"
    assert log.messages["test_shapes.Base.setUpClass"] == "OSError: no set-up"


def test_a_module_that_cannot_be_imported(tmp_path):
    (tmp_path / "test_shapes.py").write_text("import nowhere_at_all\n")
    log = parse_log(run(tmp_path, "unittest", "-v", "test_shapes"), "unittest")
    assert log.results == {"test_shapes": "error"}
    assert log.messages == {"test_shapes": "ModuleNotFoundError: No module named 'nowhere_at_all'"}


def test_a_run_that_was_cut_short_is_not_finished(tmp_path):
    (tmp_path / "test_shapes.py").write_text(UNITTEST + "    import os; os._exit(0)\n")
    assert not parse_log(run(tmp_path, "unittest", "-v", "test_shapes"), "unittest").finished
    (tmp_path / "test_exit.py").write_text("import os\ndef test_a(): os._exit(0)\n")
    assert not parse_log(run(tmp_path, "pytest", "-rA", "test_exit.py"), "pytest").finished


def test_the_form_before_python_3_11():
    log = parse_log(
        "test_a (pkg.tests.Case) ... ok\n"
        "test_b (pkg.tests.Case)\n"
        "Its docstring ... Text that it prints\n"
        "FAIL\n"
        "test_c (pkg.tests.Case) ... skipped 'why'\n"
        "\n" + "=" * 70 + "\nFAIL: test_b (pkg.tests.Case)\nIts docstring\n" + "-" * 70 + "\n"
        "Traceback (most recent call last):\n"
        '  File "t.py", line 3, in test_b\n'
        "AssertionError: 1 != 2\n\n" + "-" * 70 + "\nRan 3 tests in 0.001s\n\nFAILED (failures=1)\n",
        "unittest",
    )
    assert log.results == {
        "pkg.tests.Case.test_a": "passed",
        "pkg.tests.Case.test_b": "failed",
        "pkg.tests.Case.test_c": "skipped",
    }
    assert log.failing == ["pkg.tests.Case.test_b"] and log.passing == ["pkg.tests.Case.test_a"]
    assert log.messages == {"pkg.tests.Case.test_b": "AssertionError: 1 != 2"}


@pytest.mark.parametrize(
    ("parser", "log", "test"),
    [
        ("unittest", "test_a (m.C.test_a) ... FAIL\ntest_a (m.C.test_a) ... ok\nRan 1 test in 0s\n", "m.C.test_a"),
        ("pytest", "t.py::a FAILED\nt.py::a PASSED\n=== 1 passed in 0.1s ===\n", "t.py::a"),
    ],
)
def test_a_success_after_a_failure_does_not_count(parser, log, test):
    assert parse_log(log, parser).results == {test: "failed"} and parse_log(log, parser).finished


@pytest.mark.parametrize("options", [["-rA"], ["-v"], ["-rA", "-v", "--color=yes"], ["-q", "-rA"]])
def test_a_real_pytest_log(tmp_path, options):
    (tmp_path / "test_shapes.py").write_text(PYTEST)
    log = parse_log(run(tmp_path, "pytest", "-p", "no:cacheprovider", *options), "pytest")
    assert log.results.pop("test_shapes.py::test_skipped", "skipped") == "skipped"  # -rA does not name it
    assert log.results == PYTEST_EXPECTED
    assert log.finished
    assert log.messages["test_shapes.py::TestShapes::test_fails"].endswith("assert [1, 2] == [1, 3]")
    assert log.messages["test_shapes.py::test_breaks"] == "OSError: no fixture"
    assert "wrong word" in log.messages["test_shapes.py::test_word[a - b]"]


def test_a_pytest_module_that_cannot_be_imported(tmp_path):
    (tmp_path / "test_shapes.py").write_text("def broken(:\n")
    log = parse_log(run(tmp_path, "pytest", "-rA", "test_shapes.py"), "pytest")
    assert log.results == {"test_shapes.py": "error"}
    assert log.finished and "SyntaxError" in log.messages["test_shapes.py"]
