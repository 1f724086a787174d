"""Held-out pairs of a recipe: of all kinds of repository, with ids that say what is in them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from probe_toys import pair

from contextrl.probe import heldout
from contextrl.progress import Silent
from trajectories.records import new_id


class Closing:
    def __init__(self):
        self.closed = False

    async def close(self):
        self.closed = True


@pytest.fixture
def opened(monkeypatch):
    """Stands in for sandboxes, tasks and demonstrations; what was opened."""
    found = []

    def opening(*_):
        found.append(Closing())
        return found[-1]

    async def open_backend(*_):
        return opening()

    async def build_world(*_):
        return SimpleNamespace(kinds=["generated", "real package"])

    async def pairs(player, world, kind, count, *, seed, min_similarity, progress):
        assert (count, seed, min_similarity) == (80, 0, 0.88)
        numbers = range(3) if kind == "generated" else range(3, 5)
        return [pair(i).model_copy(update={"id": new_id()}) for i in numbers]

    monkeypatch.setattr(heldout, "open_backend", open_backend)
    monkeypatch.setattr(heldout, "build_world", build_world)
    monkeypatch.setattr(heldout, "load_policy", lambda *_, **__: None)
    monkeypatch.setattr(heldout, "Player", opening)
    monkeypatch.setattr(heldout, "heldout_pairs", pairs)
    return found


def test_pairs_made_again_have_the_same_ids(opened):
    first, second = (heldout.recipe_pairs(Path("recipes/quickstart.yaml"), Silent()) for _ in range(2))
    assert [p.answer for p in first] == [f"return {i}" for i in range(5)]
    assert [p.id for p in first] == [p.id for p in second]
    assert len({p.id for p in first}) == 5
    assert len(opened) == 4 and all(one.closed for one in opened)
