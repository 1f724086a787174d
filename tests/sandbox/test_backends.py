"""Choosing a backend, what it says when it cannot work, and that it works for ordinary users."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import (
    BackendOptions,
    BackendUnavailable,
    DockerBackend,
    Image,
    Limits,
    LocalBackend,
    SandboxError,
    lease,
    open_backend,
    run_sync,
)

_ROOT = Path(__file__).parents[2]
_OTHER_USER = 12345

_ORDINARY_USER = """
import asyncio, os, sys
from pathlib import Path
from sandbox import Image, Limits, SandboxFileError, lease, open_backend

async def main():
    backend = await open_backend("local")
    tree = Path(sys.argv[1])
    for python in (None, Path(sys.executable)):
        async with lease(backend, Image("mine", tree, python), Limits(pids=30)) as box:
            status = (await box.run("id -u; grep -E 'Cap|NoNewPrivs' /proc/self/status")).stdout.split()
            assert status[0] == "65533" and set(status[2:-2:2]) == {"0" * 16} and status[-1] == "1", status
            assert (await box.run("unshare -U true")).exit_code
            await box.write({"a.txt": b"changed", "b/c.txt": b"new"})
            assert await box.read("b/c.txt") == b"new"
            count = "import os, time\\nn = 0\\ntry:\\n  while os.fork(): n += 1\\n"
            count += "except OSError: print(n, flush=True)\\ntime.sleep(9)"
            bounded = await box.run(["python", "-c", count], timeout_s=1)
            assert bounded.timed_out and 5 < int(bounded.stdout) < 30, bounded
            for command in ("python -c 'while 1: pass'", ["python", "-c", "while 1: pass"]):
                assert 0.1 < (await box.run(command, timeout_s=0.7)).cpu_seconds < 0.9
            assert "unreachable" in (await box.run("exec 3<>/dev/tcp/192.0.2.1/80")).stderr
            assert (await box.run("echo x >/usr/x || echo x >/etc/passwd || echo x >/x")).exit_code
    assert (tree / "a.txt").read_text() == "original" and os.listdir(tree) == ["a.txt"]
    await backend.close()

asyncio.run(main())
print("ok as", os.getuid())
"""

_NO_USER_NAMESPACES = """
import asyncio, os, sys
from pathlib import Path
from sandbox import BackendUnavailable, jail, open_backend

jail.new_user_namespace(jail.SANDBOX_UID, os.getuid(), os.getgid())
Path("/proc/sys/user/max_user_namespaces").write_text("0")
try:
    asyncio.run(open_backend("local"))
except BackendUnavailable as error:
    print(error)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can read, with a copy of the package in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(_ROOT / "sandbox", folder / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
        yield folder


def _run_as_other_user(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code as a user who is not root, with an interpreter that this user may read."""
    if os.geteuid() != 0:
        identity: dict[str, object] = {}
        python = sys.executable
    else:
        identity = {"user": _OTHER_USER, "group": _OTHER_USER, "extra_groups": []}
        readable = [sys.executable, "/usr/bin/python3"]
        python = next(path for path in readable if _works_as_other_user(path, identity))
    return subprocess.run(
        [python, "-c", code, *arguments],
        env={"PYTHONPATH": str(folder), "CONTEXTRL_HOME": str(folder / "home"), "PATH": os.environ["PATH"]},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **identity,  # type: ignore[arg-type]
    )


def _works_as_other_user(python: str, identity: dict[str, object]) -> bool:
    check = "import sys; assert sys.version_info >= (3, 11)"
    try:
        return subprocess.run([python, "-c", check], check=False, **identity).returncode == 0  # type: ignore[call-overload]
    except PermissionError:
        return False


def _folder_of_other_user(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    if os.geteuid() == 0:
        os.chown(made, _OTHER_USER, _OTHER_USER)
    return made


def test_the_local_backend_works_for_a_user_who_is_not_root(open_folder: Path) -> None:
    tree = _folder_of_other_user(open_folder, "tree")
    (tree / "a.txt").write_text("original")
    os.chown(tree / "a.txt", tree.stat().st_uid, tree.stat().st_gid)
    _folder_of_other_user(open_folder, "home")
    done = _run_as_other_user(open_folder, _ORDINARY_USER, str(tree))
    assert done.stdout.startswith("ok as"), done.stderr
    assert "ok as 0" not in done.stdout


def test_a_kernel_without_user_namespaces_is_told_in_one_sentence(open_folder: Path) -> None:
    _folder_of_other_user(open_folder, "home")
    done = _run_as_other_user(open_folder, _NO_USER_NAMESPACES)
    assert "user.max_user_namespaces" in done.stdout, done.stderr
    assert len(done.stdout.strip().splitlines()) == 1


async def test_a_backend_that_was_named_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such.sock")
    with pytest.raises(BackendUnavailable, match=r"/no/such\.sock.*start dockerd"):
        await open_backend("docker")
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with pytest.raises(BackendUnavailable, match="only unix:// sockets"):
        await open_backend("docker")
    fallback = await open_backend("auto")
    assert fallback.name == "local"
    await fallback.close()
    with pytest.raises(ValueError, match="choose one of auto, docker, local"):
        await open_backend("podman")


@pytest.mark.docker
async def test_auto_is_docker_where_an_engine_answers() -> None:
    backend = await open_backend()
    assert backend.name == "docker"
    await backend.close()


@pytest.mark.docker
async def test_an_unknown_base_image_is_told(tmp_path: Path) -> None:
    docker = DockerBackend(BackendOptions(docker_base="no-such-base-image:none"))
    with pytest.raises(BackendUnavailable, match="no-such-base-image:none"):
        await docker.start(Image("x", tmp_path), Limits())


@pytest.mark.docker
async def test_a_build_that_fails_says_why(tmp_path: Path) -> None:
    docker = DockerBackend()
    with pytest.raises(SandboxError, match=r"could not be built.*not-a\+requirement"):
        await docker.start(Image("x", tmp_path, requirements=("not-a+requirement",)), Limits())


async def test_a_missing_tree_or_python_is_told(tmp_path: Path) -> None:
    local = LocalBackend()
    with pytest.raises(SandboxError, match="is not a folder"):
        await local.start(Image("x", tmp_path / "none"), Limits())
    with pytest.raises(SandboxError, match="is not an executable file"):
        await local.start(Image("x", tmp_path, python=tmp_path / "python"), Limits())
    await local.close()


async def test_a_virtual_environment_is_found_as_python(tmp_path: Path) -> None:
    local = LocalBackend()
    async with lease(local, Image("x", tmp_path, python=Path(sys.executable))) as box:
        result = await box.run("python -c 'import sys; print(sys.prefix)'; touch $(dirname $(which python))/x")
        assert result.stdout.strip() == sys.prefix
        assert "Read-only" in result.stderr
    await local.close()


def test_synchronous_callers_share_one_loop(tmp_path: Path) -> None:
    async def whole_life() -> str:
        async with lease(local, Image("x", tmp_path)) as box:
            return (await box.run("echo sync")).stdout

    local = LocalBackend()
    assert run_sync(whole_life()) == "sync\n"
    assert run_sync(whole_life()) == "sync\n"
    run_sync(local.close())


def test_importing_is_fast_and_light() -> None:
    code = (
        "import sys, time; t = time.process_time(); import sandbox; light = time.process_time() - t\n"
        "from sandbox import DockerBackend, LocalBackend, lease, open_backend, run_sync\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'transformers'} & set(sys.modules)\n"
        "print(light, time.process_time() - t, len(heavy))"
    )
    runs = [subprocess.check_output([sys.executable, "-c", code], cwd=_ROOT, text=True) for _ in range(3)]
    light, whole, heavy = min([float(number) for number in run.split()] for run in runs)
    assert light < 0.1
    assert whole < 0.3
    assert heavy == 0
