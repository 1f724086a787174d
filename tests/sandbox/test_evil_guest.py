"""A guest that lies: should a program inside ever take process 1 over, what it sends cannot harm the owner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox import Limits, SandboxError
from sandbox.client import GuestSandbox

_TOLD = (SandboxError, OSError, ValueError, TypeError)


class _EvilChannel:
    """Answers whatever it was told to, one answer after the other."""

    def __init__(self, *answers: tuple[dict[str, Any], bytes]) -> None:
        self._answers = list(answers)

    def write(self, frame: bytes) -> None:
        pass

    async def drain(self) -> None:
        pass

    async def answer(self) -> tuple[dict[str, Any], bytes]:
        return self._answers.pop(0)

    def close(self) -> None:
        pass


async def _nothing() -> None:
    pass


def _box(*answers: tuple[dict[str, Any], bytes]) -> GuestSandbox:
    return GuestSandbox("evil", Limits(tmp_mb=1), _EvilChannel(*answers), _nothing)  # type: ignore[arg-type]


def _below(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*")]


def _listing(*entries: list[Any]) -> tuple[dict[str, Any], bytes]:
    return {"entries": [["", None, 0o755], *entries]}, b""


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "a/../../evil", "..", ".", "a//b", "a/", "a\0b", "x" * 5000, "a\ud800b", "readme/x"]
)
async def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    target = tmp_path / "below" / "target"
    target.parent.mkdir()
    box = _box(_listing(["readme", 1, 0o644], [name, 4, 0o644]), ({"sizes": [1, 4]}, b"revil"))
    with pytest.raises(_TOLD):
        await box.download("x", target)
    assert _below(tmp_path) == ["below"]


@pytest.mark.parametrize(
    ("sizes", "body"),
    [([100], b"evil"), ([-4, 8], b"evil"), ([], b""), ([4, 4], b"evilevil"), (["4"], b"evil"), (None, b"")],
)
async def test_sizes_that_are_not_what_was_said_are_refused(tmp_path: Path, sizes: Any, body: bytes) -> None:
    box = _box(_listing(["a", 4, 0o644]), ({"sizes": sizes}, body))
    with pytest.raises(_TOLD):
        await box.download("x", tmp_path / "target")
    assert _below(tmp_path) == []


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [["a", 4, 0o644]],
        [["", None, 0o755], ["a", None, 0o755], ["a", 4, 0o644]],
        [[1, 2, 3]],
        [["a"]],
        "evil",
        None,
    ],
)
async def test_listings_that_make_no_tree_are_refused(tmp_path: Path, entries: Any) -> None:
    box = _box(({"entries": entries}, b""), ({"sizes": [4]}, b"evil"))
    with pytest.raises(_TOLD):
        await box.download("x", tmp_path / "target")
    assert _below(tmp_path) == []


async def test_modes_set_no_rights_that_a_download_may_not_have(tmp_path: Path) -> None:
    box = _box(_listing(["a", 4, 0o106777]), ({"sizes": [4]}, b"evil"))
    await box.download("x", tmp_path / "target")
    assert (tmp_path / "target" / "a").stat().st_mode & 0o7000 == 0


def _ran(**more: Any) -> tuple[dict[str, Any], bytes]:
    return {"code": 0, "seconds": 0.5, "timed_out": False, "streams": [[1, 0, 0], [0, 0, 0]], **more}, b"x"


async def test_an_answer_without_the_cpu_time_is_an_answer() -> None:
    box = _box(_ran(), _ran(cpu=None), _ran(cpu=0.25))
    assert [(await box.run("x")).cpu_seconds for _ in range(3)] == [None, None, 0.25]


@pytest.mark.parametrize("cpu", ["much", [1], {}, "nan", -1.0, float("inf"), 10**400])
async def test_a_cpu_time_that_is_none_is_refused(cpu: Any) -> None:
    with pytest.raises(SandboxError, match="makes no sense"):
        await _box(_ran(cpu=cpu)).run("x")
