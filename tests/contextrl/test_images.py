"""`contextrl image` where no engine answers and no repository is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from contextrl.cli import app


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine")
    return tmp_path


def contextrl(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"NO_COLOR": "1"})


def test_prune_without_an_engine_still_looks_at_the_copies_of_trees(home: Path) -> None:
    result = contextrl("image", "prune", "--all")
    assert result.exit_code == 0, result.output
    assert result.stdout == "No image was left over.\n0 kB came free.\n"


def test_ls_without_an_engine(home: Path) -> None:
    result = contextrl("image", "ls")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith("no Docker engine answers at")


def test_an_unknown_repository_is_answered_with_the_nearest(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no repository 'shop' here" in contextrl("image", "build", "shop").stderr
    from envs import repos
    from envs.task import RepoProfile

    shop = RepoProfile(name="my-shop", source="", base_commit="0" * 40, tree=home, test_cmd="")
    monkeypatch.setattr(repos, "list_profiles", lambda: [shop])
    told = contextrl("image", "build", "my-shpo")
    assert (told.exit_code, told.stderr) == (2, "there is no repository 'my-shpo' here: did you mean my-shop?\n")
