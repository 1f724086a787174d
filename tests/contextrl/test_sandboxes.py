"""`contextrl sandbox ps` and `gc`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contextrl.cli import app
from sandbox import Image, Limits, open_backend, owners, run_sync
from sandbox.local import leases


def contextrl(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    ("backend", "columns"),
    [
        ("local", r"-  +alive  \d\.\d s  +-"),
        pytest.param("docker", r"ps-test  +alive  \d\.\d s  +(59 s|60 s|1:00)", marks=pytest.mark.docker),
    ],
)
def test_a_running_sandbox_is_shown_and_never_removed(backend: str, columns: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(backend)  # equal contents have one image, under whatever name came first
    sandboxes = run_sync(open_backend(backend))
    try:
        box = run_sync(sandboxes.start(Image("ps-test", tmp_path), Limits(lease_s=60)))
        assert re.search(rf"^{backend} +{box.name} +{columns}$", contextrl("sandbox", "ps"), re.M)
        assert box.name not in contextrl("sandbox", "gc")
        assert run_sync(box.run("echo on")).stdout == "on\n"
    finally:
        run_sync(sandboxes.close())
    assert box.name not in contextrl("sandbox", "ps")


def test_what_a_dead_owner_left_is_shown_and_removed() -> None:
    name = owners.new_name().replace("contextrl-", "contextrl-9", 1)
    (leases() / name).mkdir()
    assert re.search(rf"^local +{name} +- +gone ", contextrl("sandbox", "ps"), re.M)
    assert re.search(rf"^local +{name}$", contextrl("sandbox", "gc"), re.M)
    assert name not in contextrl("sandbox", "ps")
