"""compose.yaml, whole: up, a rollout through the service into PostgreSQL, seen in the viewer, down, nothing left."""

from __future__ import annotations

import subprocess
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compose_project import ROOT, Project, call, explained, inspect, needed

from agents.expert import ScriptedExpert
from agents.gold import gold_script
from agents.rollout import rollout_groups
from envs.grading.sandbox_grader import SandboxGrader
from envs.repos import add_repository
from envs.swe import SWEEnv
from envs.synthesis.options import TaskOptions
from envs.tasksets import taskset
from sandbox import BackendOptions, BackendUnavailable, Image, Limits, SandboxBackend, open_backend
from trajectories.protocol import StoreError
from trajectories.records import Trajectory
from trajectories.store import SQLStore


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    try:
        yield made
    finally:
        made.compose("down", "--volumes", "--remove-orphans")


@pytest.mark.slow
@pytest.mark.docker
async def test_a_rollout_through_the_services(project: Project, tmp_path: Path) -> None:
    project.up()
    services = [inspect(container) for container in project.left("container")]
    assert len(services) == 3
    for service in services:
        is_hardened(service)

    token = project.settings["CONTEXTRL_SANDBOX_TOKEN"]
    backend = await open_backend("remote", BackendOptions(services=(project.service,), token=token))
    with SQLStore(project.store) as store:
        played = await roll_out(backend, store)
        assert [t.resolved for t in played] == [True] * 4 and {t.backend for t in played} == {"remote"}
        assert {t.id for t in store.query(run="composed")} == {t.id for t in played}
    seen = project.settings["CONTEXTRL_VIEWER_TOKEN"]
    assert "composed" in project.page("/", seen) and played[0].id in project.page("/trajectories?run=composed", seen)
    assert "tests passed" in project.page(f"/trajectory?id={played[0].id}", seen)
    await strangers_are_refused(project)

    (tmp_path / "tree").mkdir()
    box = await backend.start(Image("held", tmp_path / "tree"), Limits())  # in use when the services go down
    sandbox = inspect(box.name)
    project.compose("down")
    assert project.left("container") == [] and project.left("network") == []
    of_the_service = f"label=contextrl.machine={sandbox['Config']['Labels']['contextrl.machine']}"
    assert call("docker", "ps", "--all", "--quiet", "--filter", of_the_service) == ""
    assert [s["Name"] for s in (*services, sandbox) if runs(s)] == []
    assert len(project.left("volume")) == 2
    await backend.close()

    project.up()
    with SQLStore(project.store, create=False) as store:
        assert {t.id: t for t in store.query(run="composed")} == {t.id: t for t in played}
    project.compose("down", "--volumes")
    assert [project.left(what) for what in ("container", "network", "volume")] == [[], [], []]


def runs(container: dict[str, Any]) -> bool:
    """Whether its first process is there, whatever the engine says."""
    return Path("/proc", str(container["State"]["Pid"])).exists()


def is_hardened(container: dict[str, Any]) -> None:
    host = container["HostConfig"]
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["Privileged"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    published = [place for places in host["PortBindings"].values() for place in places]
    assert [place["HostIp"] for place in published] == ["127.0.0.1"]
    assert container["State"]["Health"]["Status"] == "healthy"
    mounted = [mount["Source"] for mount in container["Mounts"] if mount["Type"] == "bind" and mount["RW"]]
    assert sorted(Path(source).name for source in mounted) in ([], ["contextrl", "docker.sock"])


async def roll_out(backend: SandboxBackend, store: SQLStore) -> list[Trajectory]:
    """A scripted expert repairs two tasks of a generated repository, twice each."""
    profile = await add_repository("generated:seed=5,modules=2", backend=backend)
    profiles = {profile.name: profile}
    tasks = await taskset(profile, TaskOptions(bugs=2), backend=backend)
    grader = SandboxGrader(backend)
    try:
        return await rollout_groups(
            tasks[:2],
            lambda task: SWEEnv([task], profiles, backend, grader),
            ScriptedExpert(None, gold_script(profiles)),
            None,
            group_size=2,
            concurrency=2,
            run="composed",
            on_trajectory=store.add,
        )
    finally:
        await grader.close()


async def strangers_are_refused(project: Project) -> None:
    with pytest.raises(BackendUnavailable):
        await open_backend("remote", BackendOptions(services=(project.service,), token="guessed"))
    with pytest.raises(StoreError, match="does not accept this user and password"):
        SQLStore(project.store.replace(project.settings["POSTGRES_PASSWORD"], "guessed"))
    with pytest.raises(urllib.error.HTTPError, match="401"):
        project.page("/", "guessed")


def test_every_setting_is_explained() -> None:
    assert explained() == needed()


@pytest.mark.docker
def test_nothing_starts_without_secrets() -> None:
    secrets = {"CONTEXTRL_SANDBOX_TOKEN": "x", "CONTEXTRL_VIEWER_TOKEN": "x", "POSTGRES_PASSWORD": "x"}
    for missing in (*secrets, None):
        given = [f"{name}={'' if name == missing else value}" for name, value in secrets.items()]
        command = ["env", *given, "docker", "compose", "--env-file", "/dev/null", "config", "--quiet"]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert (ran.returncode == 0) == (missing is None), ran.stderr
        if missing is not None:
            assert missing in ran.stderr and "set it in .env" in ran.stderr
