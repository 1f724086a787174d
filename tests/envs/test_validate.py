"""Staged validation: few tests first, all tests once, what failed once again; the journal that outlives a kill."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from small_package import FLAKY, NUMBERS, PREFIX, write

from envs.repos import add_repository
from envs.synthesis.candidate import Mutant
from envs.synthesis.journal import Journal
from envs.synthesis.staged import measure_baseline, validate_staged
from envs.synthesis.units import Units, case_of, file_of
from envs.synthesis.validate import Validation
from envs.task import RepoProfile
from envs.testing.driver.tree import placed
from envs.testing.runner import Failure
from sandbox.local import LocalBackend

SECOND_FILE = """import os
import unittest

from small.numbers import clamp, mean


class OtherTest(unittest.TestCase):
    def test_clamp_too(self):
        self.assertEqual(clamp(7, 0, 5), 5)

    def test_mean_too(self):
        self.assertEqual(mean([4]), 4)

    def test_seed(self):
        self.assertTrue(clamp(50, 0, 9) == 9 or os.environ["PYTHONHASHSEED"] == "1")
"""


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The small package with a second test file, plugged in once."""
    home = tmp_path_factory.mktemp("home")
    folder = write(home / "small")
    write(folder, {"tests/test_other.py": SECOND_FILE})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTEXTRL_HOME", str(home))

        async def add():
            backend = LocalBackend()
            try:
                return await add_repository(str(folder), backend=backend)
            finally:
                await backend.close()

        return asyncio.run(add())


def mutant(source, targets=(PREFIX + "ClampTest.test_high",), name="m"):
    path = "small/numbers.py"
    return Mutant(name, "constant", f"{path}::clamp", {path: source}, {path: NUMBERS}, targets, ())


async def verdicts(profile, wave, backend):
    found = {}
    baseline = await measure_baseline(profile, backend)
    await validate_staged(
        profile, wave, baseline, backend=backend, on_verdict=lambda c, verdict: found.update({c.instance_id: verdict})
    )
    return [found[candidate.instance_id] for candidate in wave]


async def test_all_tests_run_once_without_a_bug(small, backend):
    baseline = await measure_baseline(small, backend)
    assert baseline.flaky == (FLAKY,)
    assert (
        PREFIX + "ClampTest.test_low" in baseline.passing and "tests.test_other.OtherTest.test_seed" in baseline.passing
    )
    assert set(baseline.times) == set(baseline.passing) and baseline.cpu_seconds > 0


async def test_every_way_that_a_candidate_can_end(small, backend):
    slow_later = NUMBERS.replace("    total = 0\n", "    total = 0\n    while True: pass\n").replace(
        "return high", "return 1"
    )
    wanted = {
        "": NUMBERS.replace("return high", "return high + 1"),
        "no test fails": NUMBERS.replace("# the floor", "# a floor"),
        "no test passes": NUMBERS.replace('"""Numbers."""', "import nothing_like_this"),
        "hangs": NUMBERS.replace("if value > high:", "while value > high:").replace("return high", "pass"),
        "hangs ": slow_later,
        "crashes": NUMBERS.replace("return high", "import os; os._exit(0)"),
    }
    wave = [mutant(source, name=reason) for reason, source in wanted.items()]
    found = await verdicts(small, wave, backend)
    assert [verdict.reason for verdict in found] == [reason.strip() for reason in wanted]
    good = found[0]
    assert good.FAIL_TO_PASS == (PREFIX + "ClampTest.test_high", "tests.test_other.OtherTest.test_clamp_too")
    assert PREFIX + "MeanTest.test_mean" in good.PASS_TO_PASS, "all tests were run"
    assert good.failures[good.FAIL_TO_PASS[0]].message == "10 != 9"
    assert good.cpu_seconds > 0


async def test_a_test_that_fails_in_one_run_only_is_listed_as_flaky(small, backend):
    seed, high = "tests.test_other.OtherTest.test_seed", PREFIX + "ClampTest.test_high"
    bug = NUMBERS.replace("return high", "return high + 1")
    first = mutant(bug, targets=(high, seed), name="first: fails, then passes")
    once = mutant(bug.replace("high + 1", "high + (hash('a') == hash('b'))"), name="nothing fails")
    found = await verdicts(small, [first, once], backend)
    assert found[0].flaky == (seed,)
    assert seed not in found[0].FAIL_TO_PASS + found[0].PASS_TO_PASS
    assert found[1].reason == "no test fails"


async def test_what_fails_for_the_first_time_among_all_tests_is_run_again(small, backend):
    """It fails with hash seed 1, which all tests run with, and passes with 2."""
    wobbly = NUMBERS.replace("return high", "import os; return high + 1").replace(
        "return total / len(values)", "import os; return total / len(values) + (os.environ['PYTHONHASHSEED'] == '1')"
    )
    (verdict,) = await verdicts(small, [mutant(wobbly)], backend)
    means = (PREFIX + "MeanTest.test_mean", "tests.test_other.OtherTest.test_mean_too")
    assert verdict.flaky == means
    assert verdict.FAIL_TO_PASS == (PREFIX + "ClampTest.test_high", "tests.test_other.OtherTest.test_clamp_too")


def tree_profile(tree, **files):
    write(tree, {"code.py": "def one():\n    return 1\n", **files})
    tree.chmod(0o755)
    return RepoProfile(
        name="tree",
        source=str(tree),
        base_commit="c" * 40,
        tree=tree,
        python=Path(sys.executable),
        test_cmd="python -m pytest {tests}",
        log_parser="pytest",
        source_files=("code.py",),
        test_files=tuple(files),
    )


async def test_a_suite_that_fails_as_a_whole_is_told_in_one_sentence(tmp_path, backend):
    profile = tree_profile(tmp_path / "t", **{"test_a.py": "import os\n\ndef test_a():\n    os._exit(1)\n"})
    with pytest.raises(ValueError, match="suite near") as caught:
        await measure_baseline(profile, backend)
    assert "\n" not in str(caught.value)
    profile = tree_profile(tmp_path / "u", **{"test_a.py": "def test_a():\n    assert False\n"})
    with pytest.raises(ValueError, match="0 tests of tree pass"):
        await measure_baseline(profile, backend)


async def test_parameters_may_change_with_the_bug(tmp_path, backend):
    """The ids of parametrised tests come from the code under test: a case is named by its function."""
    text = (
        "import pytest\nfrom code_ import one, values\n\n\n@pytest.mark.parametrize('n', values())\n"
        "def test_value(n):\n    assert n == 1\n\n\ndef test_one():\n    assert one() == 1\n"
    )
    profile = tree_profile(tmp_path / "t", **{"test_a.py": text})
    source = "def one():\n    return 1\n\n\ndef values():\n    return [1]\n"
    write(profile.tree, {"code_.py": source})
    profile = profile.model_copy(update={"source_files": ("code_.py",)})
    broken = {"code_.py": source.replace("[1]", "[2]")}
    bug = Mutant("m", "k", "code_.py::values", broken, {"code_.py": source}, ("test_a.py::test_value",), ())
    (verdict,) = await verdicts(profile, [bug], backend)
    assert (verdict.FAIL_TO_PASS, verdict.PASS_TO_PASS) == (("test_a.py::test_value[1]",), ("test_a.py::test_one",))


def test_the_nearest_tests_run_first_within_the_time_allowed(small):
    units = Units(small, 10.0)
    assert set(units.reaching("small/numbers.py::clamp")) == {
        *(PREFIX + f"ClampTest.test_{name}" for name in ("low", "high", "inside")),
        "tests.test_other.OtherTest.test_clamp_too",
        "tests.test_other.OtherTest.test_seed",
    }
    assert len(Units(small, 0.0).reaching("small/numbers.py::clamp")) == 1
    assert case_of("t.py::T::test_x[1-[a]]") == "t.py::T::test_x"
    assert file_of(PREFIX + "ClampTest.test_low", small) == "tests.test_numbers"


def test_a_journal_gives_back_what_it_was_told(tmp_path):
    path = tmp_path / "making" / "journal.jsonl"
    good = Validation("", ("a",), ("b", "c"), {"a": Failure("E", "é\ud800\n", "t.py", 3)}, ("d",), 1.25)
    with Journal(path) as journal:
        journal.add("one", good)
        journal.add("two", Validation("hangs"))
    with path.open("ab") as file:
        file.write(b'{"candidate": "three", "verd')
    with Journal(path) as journal:
        assert journal.verdicts == {"one": good, "two": Validation("hangs")}
        journal.add("four", Validation("crashes"))
    lines = path.read_text().splitlines()
    assert [json.loads(line)["candidate"] for line in lines] == ["one", "two", "four"]


def test_a_program_stays_one_while_its_text_is_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.py").write_text("1")
    (tmp_path / "run.py").chmod(0o755)
    with placed({"run.py": "2"}):
        assert (tmp_path / "run.py").read_text() == "2" and (tmp_path / "run.py").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "run.py").read_text() == "1" and (tmp_path / "run.py").stat().st_mode & 0o777 == 0o755
