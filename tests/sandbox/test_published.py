"""Sandboxes of published images: the repository that lies ready in them is there, and its history is not."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from sandbox import BackendUnavailable, DockerBackend, Image, Limits, LocalBackend, SandboxError, lease
from sandbox.base_image import default_base
from sandbox.conformance import check
from sandbox.conformance.attacks.host import writable_places
from sandbox.engine_api import Engine, EngineError, engine_socket

_REPOSITORY = r"""
set -e
export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@x GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@x
git config --global protocol.file.allow always
git init -q /library && cd /library && echo 'part = 1' >part.py && git add . && git commit -qm 'A part'
git init -q /testbed && cd /testbed
printf '*.log\nbuild/\n' >.gitignore && echo 'x = 1' >code.py && echo 'print("run")' >run.sh && chmod 755 run.sh
ln -s code.py link.py && mkdir 'a folder' && echo kept >'a folder/kept.log' && git add . && git add -f 'a folder'
git -c protocol.file.allow=always submodule add -q /library part
git commit -qm 'The state of the task'
echo 'x = 2  # the remedy' >code.py && git commit -qam 'The remedy' && git tag v2 && git branch future
git worktree add -q /elsewhere v2
git clone -q --bare /testbed /mirror.git && git clone -q --no-checkout /testbed /a-clone
echo 'x = 3 # stashed remedy' >code.py && git stash -q
git reset -q --hard HEAD~1 && echo 'a remedy that is only in pieces' | git hash-object -w --stdin >/dev/null
mkdir -p build __pycache__ /root/.cache/pip /srv/open && echo old >build/out && echo remedy >__pycache__/code.pyc
echo remedy >/root/.cache/pip/wheel && chmod 777 /srv/open && echo x >/srv/open/file && chmod 666 /srv/open/file
cp /bin/bash /usr/local/bin/rootly && chmod 4755 /usr/local/bin/rootly
"""
_SEARCH = r"""
import os, zlib
for parent, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if parent != "/" or name not in ("proc", "sys", "dev", "usr", "lib", "opt")]
    for name in files:
        try:
            data = open(os.path.join(parent, name), "rb").read()
        except OSError:
            continue
        with __import__("contextlib").suppress(zlib.error):
            data += zlib.decompress(data)
        if b"remedy" in data.lower(): print(os.path.join(parent, name))
"""


@asynccontextmanager
async def _built(name: str, dockerfile: str, files: dict[str, bytes] | None = None) -> AsyncIterator[str]:
    """An image of the engine, as somebody else would have published it."""
    engine, archive = Engine(engine_socket()), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, data in {"Dockerfile": dockerfile.encode(), **(files or {})}.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
    tag = f"contextrl-test-published:{name}-{os.getpid()}"
    query = {"t": tag, "networkmode": "none", "forcerm": 1, "version": 1}
    async for _ in engine.progress("/build", query, archive.getvalue()):  # type: ignore[arg-type]
        pass
    try:
        yield tag
    finally:
        filters = {"filters": json.dumps({"label": [f"contextrl.image={name}"]})}
        for entry in await engine.json("GET", "/images/json", filters):  # type: ignore[arg-type]
            with suppress(EngineError):
                await engine.json("DELETE", f"/images/{entry['Id']}", {"force": 1})
        await engine.json("DELETE", f"/images/{tag}", {"force": 1})


@pytest.mark.docker
@pytest.mark.asyncio
async def test_the_repository_is_there_and_its_history_is_not() -> None:
    base = await default_base(Engine(engine_socket()))
    dockerfile = f"FROM {base}\nCOPY make.sh /\nRUN bash /make.sh && rm /make.sh\nENV SPECIAL=kept\nUSER 1234\n"
    docker = DockerBackend()
    async with _built("history", dockerfile, {"make.sh": _REPOSITORY.encode()}) as tag:
        image = Image("history", reference=tag)
        async with lease(docker, image) as box:
            log = await box.run(
                "git log --all --format='%an %at %s' && git status --porcelain && git fsck --lost-found"
            )
            assert (log.exit_code, log.stdout) == (0, "developer 946684800 Initial commit\n"), log.output
            files = (await box.run("git ls-files")).stdout.splitlines()
            assert files == [
                ".gitignore",
                ".gitmodules",
                "a folder/kept.log",
                "code.py",
                "link.py",
                "part/part.py",
                "run.sh",
            ]
            assert (await box.run("cat code.py; readlink link.py; cat build/out; echo $SPECIAL")).stdout == (
                "x = 1\ncode.py\nold\nkept\n"
            )
            assert (
                await box.run("find . -newermt 2000-01-02 -not -path './.git*'; find / -name '*.pyc' -path /testbed")
            ).stdout == ""
            assert (
                await box.run("find /testbed ! -user sandbox; ls -d /testbed/part/.git /elsewhere /mirror.git")
            ).stdout == ""
            assert (await box.run("find / -xdev -perm /6000 -type f")).stdout == ""
            found = await box.run(["python", "-c", _SEARCH])
            assert (found.exit_code, found.stdout) == (0, "")
            assert (
                await box.run("echo y >>code.py && git commit -qam next && git log --oneline | wc -l")
            ).stdout == "2\n"
        await check(docker, writable_places, image)
    await docker.close()


@pytest.mark.docker
@pytest.mark.asyncio
async def test_an_image_with_neither_python_nor_git_will_do(tmp_path: Path) -> None:
    base = await default_base(Engine(engine_socket()))
    dockerfile = (
        f"FROM {base} AS full\nRUN mkdir -p /small/bin /small/testbed /small/tmp"
        " && cp /bin/bash /bin/cat /bin/ls /small/bin && mkdir -p /small/lib64 && cp -L /lib64/ld-* /small/lib64/"
        " && for path in $(ldd /bin/bash /bin/ls | grep -o '/[^ ]*\\.so[^ ]*' | sort -u);"
        ' do mkdir -p "/small$(dirname $path)" && cp -L $path /small$path; done && echo hello >/small/testbed/file\n'
        "FROM scratch\nCOPY --from=full /small/ /\n"
    )
    docker = DockerBackend()
    async with _built("small", dockerfile) as tag, lease(docker, Image("small", reference=tag)) as box:
        assert (await box.run("cat file; echo x >>file; ls /usr /root; cd /tmp")).stdout == "hello\n"
        assert await box.read("file") == b"hello\nx\n"
        assert (await box.run("pwd")).stdout == "/tmp\n"
        assert (await box.run(["python", "-V"])).exit_code == 127
    await docker.close()


@pytest.mark.docker
@pytest.mark.asyncio
async def test_an_image_without_a_testbed_is_told() -> None:
    base = await default_base(Engine(engine_socket()))
    docker = DockerBackend()
    with pytest.raises(SandboxError, match="no folder /testbed, so no task can be played in it"):
        await docker.start(Image("bare", reference=base), Limits())
    await docker.close()


@pytest.mark.docker
@pytest.mark.asyncio
async def test_an_image_that_nobody_has_is_told() -> None:
    docker = DockerBackend()
    name = "localhost:9/nobody/has.this:v1"
    with pytest.raises(BackendUnavailable, match=rf"neither has nor can pull image absent from {name}: .*refused"):
        await docker.start(Image("absent", reference=name), Limits())
    await docker.close()


@pytest.mark.asyncio
async def test_a_local_sandbox_cannot_start_from_one() -> None:
    local = LocalBackend()
    with pytest.raises(BackendUnavailable, match=r"image x starts from the Docker image a/b:c, which a local sandbox"):
        await local.start(Image("x", reference="a/b:c"), Limits())
    await local.close()


def test_an_image_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="image x needs a tree, or a reference"):
        Image("x")


@pytest.mark.docker
@pytest.mark.asyncio
async def test_the_python_that_was_asked_for_or_a_sentence(image: Image) -> None:
    docker = DockerBackend()
    async with lease(docker, image) as box:
        version = (await box.run("python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'")).stdout.strip()
    async with lease(docker, dataclasses.replace(image, name="versioned", python_version=version)) as box:
        assert (await box.run("python3 -V")).stdout.startswith(f"Python {version}.")
    with pytest.raises(
        BackendUnavailable, match=rf"Python 3\.99, python:3\.99-slim.*the base image has Python {version}"
    ):
        await docker.start(dataclasses.replace(image, name="unheard-of", python_version="3.99"), Limits())
    await docker.close()
