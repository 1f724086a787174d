"""Plugging in whole repositories with no option: two packages of the index, and a private one with an odd layout."""

import asyncio
import os
import re
import sys

import pytest
from small_package import FILES as SMALL
from small_package import write
from strange_package import FILES, make_wheels
from typer.testing import CliRunner

from contextrl.cli import app
from envs.repos import RepoError, add_repository, check_repository, learned
from envs.repos.pythons import find_python
from envs.runtime import image_of
from sandbox.protocol import Limits

PINNED = {
    "pypi:inflection==0.5.1": ("pytest", "inflection/__init__.py::underscore"),
    "pypi:idna==3.10": ("unittest", "idna/core.py::alabel"),
}


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path / "home"))


@pytest.mark.slow
@pytest.mark.parametrize("source", PINNED)
async def test_a_package_of_the_index_needs_no_option(backend, source):
    runner, function = PINNED[source]
    profile = await add_repository(source, backend=backend)
    known = learned(profile)
    assert (profile.log_parser, known.failing, profile.flaky) == (runner, 0, ())
    assert known.passing >= 10
    assert profile.covers[function]


@pytest.mark.slow
async def test_a_private_package_with_an_odd_layout_needs_no_option(tmp_path, backend, monkeypatch):
    folder = write(tmp_path / "odd", FILES)
    monkeypatch.setenv("PIP_FIND_LINKS", str(make_wheels(tmp_path / "wheels")))
    profile = await add_repository(str(folder), backend=backend)
    known, core = learned(profile), "lib/odd/core.py::"
    assert profile.source_files == ("backend.py", "lib/odd/__init__.py", "lib/odd/_made.py", "lib/odd/core.py")
    assert (profile.test_files, profile.version) == (("qa/check_core.py",), "2.5")
    assert profile.test_cmd.startswith("PYTHONPATH=lib python -m pytest ")
    assert (known.passing, known.failing, known.build_backend) == (7, 1, "backend")
    assert profile.flaky == ("qa/check_core.py::check_order_of_a_set",), "the third run's hash seed shows it"
    assert {key.removeprefix(core) for key in profile.covers if key.startswith(core)} == {
        "first", "numbered", "Shop.made", "Shop.later", "Shop.each", "plugins"
    }  # fmt: skip
    assert "pytest-oddplugin==1.0" in [line.replace("_", "-") for line in profile.requirements]
    assert [note for note in known.notes if "oddlater was installed" in note]
    assert [note for note in known.notes if "lib/odd/_made.py: laid beside" in note]
    assert [note for note in known.notes if "1 of 9 tests fail (1 say 'ConnectionRefusedError" in note]
    assert [path.name for path in profile.tree.rglob("core.py")] == ["core.py"], "no second copy of a source"

    assert all(finding.holds for finding in await check_repository(profile, backend=backend))
    checks = profile.tree / "qa" / "check_core.py"
    checks.write_text(checks.read_text().replace('== "2.5"', '== "9"'))
    os.utime(profile.tree)  # sandboxes look at this time alone
    found = {finding.what: finding for finding in await check_repository(profile, backend=backend)}
    assert not found["tests"].holds
    assert found["tests"].text == "6 of 7 pass; not qa/check_core.py::check_version"
    assert found["install"].holds
    assert not list((tmp_path / "home" / "repos").glob(".checking-*"))


async def test_a_package_that_cannot_be_built_is_used_as_it_is(tmp_path, backend):
    build = '[build-system]\nrequires = []\nbuild-backend = "nothing"\nbackend-path = ["."]\n'
    project = '[project]\nname = "small"\nversion = "1.5"\n'
    profile = await add_repository(str(write(tmp_path / "small", {**SMALL, "pyproject.toml": build + project})))
    assert "could not be built" in learned(profile).notes[0]
    assert (profile.tree / "small-1.5.dist-info" / "METADATA").is_file()
    assert profile.covers


async def test_another_python_is_used_where_it_is_asked_for(tmp_path, backend):
    wanted = "3.12"
    try:
        python, version = await find_python(wanted, "")
    except RepoError:  # then the one that runs this must do
        wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
        python, version = await find_python(wanted, "")
    profile = await add_repository(str(write(tmp_path / "small", SMALL)), python=wanted, backend=backend)
    assert (profile.python_version, image_of(profile).python_version) == (wanted, wanted)
    sandbox = await backend.start(image_of(profile), Limits())
    ran = await sandbox.run(["python", "-V"])
    await sandbox.stop()
    assert ran.stdout == f"Python {version}\n"
    other = await add_repository(str(tmp_path / "small"), python=str(python), backend=backend)
    assert other.covers == profile.covers


def test_show_and_check_say_what_was_learned(tmp_path):
    asyncio.run(add_repository(str(write(tmp_path / "small", SMALL))))
    run = CliRunner().invoke
    shown = run(app, ["repo", "show", "small"]).output
    assert re.search(r"tests +\d+ pass, 0 fail, 0 skipped, 1 flaky", shown)
    assert re.search(r"test command +python -m unittest -v \{tests\}", shown)
    assert re.search(r"small/numbers.py::clamp +3 ", run(app, ["repo", "show", "small", "--functions"]).output)
    checked = run(app, ["repo", "check", "small", "--backend", "local"])
    assert checked.exit_code == 0, checked.output
    assert re.search(r"coverage map +holds", checked.output)
    times = next((tmp_path / "home" / "repos").glob("*/times.json"))
    times.write_text(times.read_text().replace("}", ', "tests.test_numbers.Gone.test_gone": 0.1}'))
    checked = run(app, ["repo", "check", "small", "--backend", "local"])
    assert checked.exit_code == 1
    assert re.search(r"tests +CHANGED .*; not tests.test_numbers.Gone.test_gone", checked.output)
