"""Which images may go, exactly, on an engine that is a list; and what a real one says."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox import BackendOptions, DockerBackend, Image, Limits
from sandbox.engine_api import Engine, EngineError, engine_socket
from sandbox.image_store import build_image, list_images, prune_images, prune_trees

HOUR = 3600


class ListedEngine:
    """`images`: tag -> label, age in hours, history; `used`: tags that containers use."""

    def __init__(self, images: dict[str, tuple[str | None, float, str]], used: tuple[str, ...] = ()) -> None:
        self.images, self.used = images, used
        self.refused: set[str] = set()

    async def json(self, method: str, path: str, query: dict[str, Any] | None = None) -> Any:
        if method == "DELETE":
            tag = path.removeprefix("/images/")
            if tag in self.refused:
                raise EngineError(409, "a container is using it")
            return self.images.pop(tag) and None
        if path == "/containers/json":
            return [{"ImageID": tag} for tag in self.used]
        if path.endswith("/history"):
            return [{"CreatedBy": self.images[path.split("/")[2]][2]}]
        dangling = "dangling" in json.loads((query or {})["filters"])
        return [
            {
                "Id": tag,
                "RepoTags": None if dangling else [tag],
                "Labels": {"contextrl.image": label},
                "Size": 1,
                "Created": time.time() - age * HOUR,
            }
            for tag, (label, age, _) in self.images.items()
            if (label is None) == dangling
        ]


async def pruned(engine: ListedEngine, *needed: str, stages: bool = False, young: bool = False) -> list[str]:
    """What is removed."""
    before = set(engine.images)
    removed = await prune_images(engine, needed, stages=stages, young=young)  # type: ignore[arg-type]
    gone = before - set(engine.images)
    assert {image.tag for image in removed} == {tag for tag in gone if not tag.startswith("stage")}
    return sorted(gone)


async def test_only_what_nobody_needs_or_uses_goes() -> None:
    engine = ListedEngine(
        {
            "shop:now": ("shop", 2, ""),
            "shop:before": ("shop", 50, ""),
            "shop:before-but-used": ("shop", 51, ""),
            "other:old": ("other", 2, ""),
            "other:used": ("other", 3, ""),
            "other:young": ("other", 0.5, ""),
            "stage": (None, 9, "python3 -m venv /opt/venv && cd /dependencies"),
        },
        used=("other:used", "shop:before-but-used"),
    )
    assert await pruned(engine, "shop") == ["other:old", "shop:before"]
    assert await pruned(engine, "shop", young=True) == ["other:young"]
    assert await pruned(engine, young=True, stages=True) == ["shop:now", "stage"]


async def test_what_came_into_use_meanwhile_stays() -> None:
    engine = ListedEngine({"other": ("other", 2, "")})
    engine.refused = {"other"}
    assert await pruned(engine) == []


async def test_only_our_own_build_stages_go() -> None:
    engine = ListedEngine(
        {
            "stage-1": (None, 9, "/bin/sh -c #(nop) COPY multi:0 in /dependencies/ "),
            "foreign": (None, 9, 'CMD ["postgres"]'),
        }
    )
    assert await pruned(engine, stages=True) == ["stage-1"]


@pytest.mark.docker
async def test_a_real_engine(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(str(time.time()))
    image, lines, engine = Image("image-store-test", tmp_path), list[str](), Engine(engine_socket())
    tag = await build_image(image, BackendOptions(), lines.append)
    try:
        assert any(line.startswith("Successfully tagged") for line in lines)
        (found,) = [stored for stored in await list_images(engine) if stored.tag == tag]
        assert (found.name, found.in_use) == ("image-store-test", False)
        assert time.time() - found.made < 60
        lines.clear()
        assert await build_image(image, BackendOptions(), lines.append) == tag
        assert lines == []
        backend = DockerBackend()
        try:
            await backend.start(image, Limits())
            assert [stored.in_use for stored in await list_images(engine) if stored.tag == tag] == [True]
        finally:
            await backend.close()
    finally:
        await engine.json("DELETE", f"/images/{tag}")


async def test_copies_of_trees_that_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path))
    copy = tmp_path / "trees-1" / "abc"
    copy.mkdir(parents=True)
    (copy / "file").write_bytes(b"x" * 1000)
    note = copy.with_suffix(".source")
    note.write_text(str(tmp_path / "gone"))
    assert await prune_trees() == 0
    assert copy.exists()  # made within a day
    os.utime(note, (0, 0))
    assert await prune_trees() == 1000 + len(str(tmp_path / "gone"))
    assert not copy.exists()
