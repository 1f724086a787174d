"""How far a function is from the test that calls it."""

import sys
from pathlib import Path

import pytest
from small_package import write

from envs.repos.measure import measure
from envs.task import RepoProfile

CHAIN = """def near(n):
    return middle(n) + 1


def middle(n):
    return far(n) + 1


def far(n):
    if n > 0:
        return far(n - 1)
    if n < 0:
        raise ValueError(n)
    return 0


def numbers(n):
    while n:
        yield far(0)
        n -= 1
"""
UNITTEST = """import unittest

from chain import far, near, numbers


class ChainTest(unittest.TestCase):
    def setUp(self):
        far(0)

    def test_near(self):
        with self.assertRaises(ValueError):
            near(-1)
        self.assertEqual(near(0), 2)

    def test_numbers(self):
        self.assertEqual(list(numbers(3)), [0, 0, 0])


class PlainTest(unittest.TestCase):
    def helped(self):
        return near(1)

    def test_helped(self):
        self.assertEqual(self.helped(), 2)
"""
PYTEST = """import pytest
from chain import far, near, numbers


@pytest.mark.parametrize("n", [0, 3])
def test_near(n):
    assert near(n) == 2


def test_numbers():
    assert list(numbers(3)) == [0, 0, 0]
"""


def profile_of(tree: Path, runner: str) -> RepoProfile:
    return RepoProfile(
        name="chain",
        source=str(tree),
        base_commit="c" * 40,
        tree=tree,
        python=Path(sys.executable),
        test_cmd=f"python -m {runner} {{tests}}",
        log_parser=runner,
        source_files=("chain.py",),
        test_files=("test_chain.py",),
    )


@pytest.mark.parametrize(("runner", "text"), [("unittest", UNITTEST), ("pytest", PYTEST)])
async def test_the_shortest_way_from_a_test_is_noted(tmp_path, backend, runner, text):
    tree = write(tmp_path / "tree", {"chain.py": CHAIN, "test_chain.py": text})
    tree.chmod(0o755)
    found = await measure(profile_of(tree, runner), backend)
    away = {
        name.partition("::")[2]: dict(zip(tests, found.distances[name], strict=True))
        for name, tests in found.covers.items()
    }
    if runner == "unittest":
        prefix = "test_chain."
        assert away["near"] == {prefix + "ChainTest.test_near": 1, prefix + "PlainTest.test_helped": 2}
        assert away["middle"] == {prefix + "ChainTest.test_near": 2, prefix + "PlainTest.test_helped": 3}
        assert away["far"][prefix + "ChainTest.test_near"] == 1, "its setUp calls it"
        assert away["far"][prefix + "PlainTest.test_helped"] == 4
        assert away["numbers"] == {prefix + "ChainTest.test_numbers": 1}
    else:
        prefix = "test_chain.py::test_"
        assert away["near"] == {prefix + "near[0]": 1, prefix + "near[3]": 1}
        assert away["far"] == {prefix + "near[0]": 3, prefix + "near[3]": 3, prefix + "numbers": 2}
