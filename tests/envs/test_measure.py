"""What measuring makes of awkward test files: own names of pytest's parts, many threads, too much time, helpers."""

import sys

import pytest
from small_package import write

from envs.repos import RepoError, measure
from envs.task import RepoProfile


def profile_of(tree, files, runner="pytest"):
    write(tree, files)
    tree.chmod(0o755)
    return RepoProfile(
        name="awkward",
        source=str(tree),
        base_commit="c" * 40,
        tree=tree,
        python=sys.executable,
        test_cmd=f"python -m {runner} {{tests}}",
        log_parser=runner,
        source_files=tuple(path for path in files if not path.startswith("test")),
        test_files=tuple(path for path in files if path.startswith("test")),
    )


async def test_a_module_that_pytest_has_of_its_own_is_taken_from_the_repository(tmp_path, backend):
    files = {"py/__init__.py": "def double(n):\n    return 2 * n\n"}
    files["tests/test_py.py"] = "import py\n\n\ndef test_double():\n    assert py.double(2) == 4\n"
    found = await measure.measure(profile_of(tmp_path / "tree", files), backend)
    assert found.covers == {"py/__init__.py::double": ("tests/test_py.py::test_double",)}


async def test_what_pytest_says_is_told(tmp_path, backend):
    profile = profile_of(tmp_path / "tree", {"test_it.py": "def test_it():\n    pass\n"})
    (tmp_path / "tree" / "conftest.py").write_text("raise RuntimeError('set DATABASE_URL first')\n")
    with pytest.raises(RepoError, match="RuntimeError: set DATABASE_URL first"):
        await measure.measure(profile, backend)


async def test_a_repository_may_make_errors_of_warnings(tmp_path, backend):
    profile = profile_of(tmp_path / "tree", {"test_it.py": "def test_it():\n    pass\n"})
    (tmp_path / "tree" / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error::pytest.PytestAssertRewriteWarning\n"
    )
    assert (await measure.measure(profile, backend)).passing == ("test_it.py::test_it",)


async def test_a_test_may_start_a_hundred_threads(tmp_path, backend):
    test = """import threading
import unittest

class Threads(unittest.TestCase):
    def test_a_hundred(self):
        done = threading.Event()
        threads = [threading.Thread(target=lambda: (bytearray(100_000), done.wait())) for _ in range(100)]
        try:
            for thread in threads:
                thread.start()
        finally:
            done.set()
"""
    found = await measure.measure(profile_of(tmp_path / "tree", {"test_threads.py": test}, "unittest"), backend)
    assert (found.passing, found.reason) == (("test_threads.Threads.test_a_hundred",), "")


async def test_a_file_that_takes_too_long_is_told_and_run_once(tmp_path, backend, monkeypatch):
    monkeypatch.setattr(measure, "FILE_CPU_S", 3.0)
    slow = "def test_fast():\n    pass\n\n\ndef test_slow():\n    while True:\n        pass\n"
    profile = profile_of(tmp_path / "tree", {"test_slow.py": slow, "test_fast.py": "def test_it():\n    pass\n"})
    watched = await measure.look(profile, backend)
    assert [outcome.end for outcome in watched] == ["cpu", "ok"]
    found = await measure.measure(profile, backend, watched=watched)
    assert (found.slow, found.passing, found.flaky) == (("test_slow.py",), ("test_fast.py::test_it",), ())
    only = profile.model_copy(update={"test_files": ("test_slow.py",)})
    with pytest.raises(RepoError, match="took longer than"):
        await measure.measure(only, backend)


async def test_helpers_of_tests_are_no_tests(tmp_path, backend):
    files = {"tests/test_it.py": "def test_it():\n    pass\n", "tests/typing/script.py": "raise SystemExit\n"}
    files |= {"tests/conftest.py": "import sys\n", "tests/check.py": "def test_more():\n    pass\n"}
    profile = profile_of(tmp_path / "tree", files)
    assert measure.test_units(profile) == [("tests/test_it.py",), ("tests/check.py",)]


async def test_what_ends_a_test_file_early_is_told(tmp_path, backend):
    profile = profile_of(tmp_path / "tree", {"tests.py": "raise SystemExit('no service')\n"}, "unittest")
    with pytest.raises(RepoError, match=r"ended early \(SystemExit: no service\)"):
        await measure.measure(profile, backend)
