"""Generated repositories: deterministic, readable back, and their candidates keep what variants.py promises."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from envs.generated import candidates, make_repository
from envs.generated.grammar import random_module
from envs.generated.repository import (
    document,
    module_from_document,
    module_from_source,
    module_names,
    read_module,
    source_path,
)


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_repository(tmp_path / name, seed=3, modules=5)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert files and all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    make_repository(tmp_path / "c", seed=4, modules=5)
    assert module_names(tmp_path / "a") != module_names(tmp_path / "c")


def test_modules_read_back() -> None:
    rng = random.Random(0)
    for _ in range(200):
        module = random_module(rng, "kavo", rng.choice((2, 3, 4)))
        assert module_from_document("kavo", document(module)) == module
        assert module_from_source("kavo", module.source()) == module


def test_own_tests_pass(tmp_path: Path) -> None:
    make_repository(tmp_path, seed=0, modules=4)
    done = subprocess.run(
        [sys.executable, "-m", "unittest", "discover"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "Ran 0" not in done.stderr, done.stderr


def test_candidates_differ_in_one_line_and_twins_cross(tmp_path: Path) -> None:
    make_repository(tmp_path, seed=0, modules=10)
    made = list(candidates(tmp_path))
    assert len(made) > 100 and len({c.instance_id for c in made}) == len(made)
    by_function: dict[str, dict[str, tuple[str, str]]] = {}
    for c in made:
        path = c.function.split("::")[0]
        broken, fixed = c.broken[path].splitlines(), c.fixed[path].splitlines()
        assert sum(a != b for a, b in zip(broken, fixed, strict=True)) == 1
        by_function.setdefault(c.function, {})[c.kind.split("/")[0]] = (c.broken[path], c.fixed[path])
    twins = [k for k in by_function.values() if {"bug", "change"} <= k.keys()]
    assert twins and all(k["bug"] == k["change"][::-1] for k in twins)


def test_what_is_right_does_not_stand_in_the_source(tmp_path: Path) -> None:
    make_repository(tmp_path, seed=0, modules=3)
    for c in candidates(tmp_path):
        assert "#" not in c.broken[c.function.split("::")[0]] and '"""' not in c.broken[c.function.split("::")[0]]


def test_refuses_impossible_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="modules=1000"):
        make_repository(tmp_path, seed=0, modules=1000)


def test_source_matches_document_in_the_repository(tmp_path: Path) -> None:
    make_repository(tmp_path, seed=1, modules=6)
    for name in module_names(tmp_path):
        assert (tmp_path / source_path(name)).read_text() == read_module(tmp_path, name).source()
