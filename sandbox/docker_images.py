"""Docker images made from sandbox images: the base, the requirements, the tree.

Invariant: the tag of a built image is a digest of everything that went into it, so an image that exists is the right
one. Nothing of how packages were reached (index addresses, certificates) stays in it: they are installed in a stage
of their own.

A small tree is not in it: its containers get a read-only root and a size-limited /testbed that is filled when they
start (`sandbox.seeds`). A large one lies at /testbed, because sending it to every container would cost too much.
Nowhere else can a container read the tree as it was before it was written over.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import ssl
import tarfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from sandbox import published
from sandbox.base_image import find_image
from sandbox.base_python import base_with
from sandbox.engine_api import Engine, EngineError, Query
from sandbox.jail import SANDBOX_UID
from sandbox.protocol import Image, SandboxError
from sandbox.tree_archive import image_survey

IMAGE_LABEL = "contextrl.image"
_SEALED_ENTRIES = 2_000
_SEALED_MB = 32
_PULL_PATIENCE_S = 2 * 3600.0
"""Published images are gigabytes."""
_BUILD_SETTINGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")

_DEPENDENCIES = """\
FROM {base} AS dependencies
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST
COPY requirements.txt ca-bundle.pem /dependencies/
RUN python3 -m venv /opt/venv && cd /dependencies \\
 && if [ -s ca-bundle.pem ]; then export PIP_CERT=$PWD/ca-bundle.pem SSL_CERT_FILE=$PWD/ca-bundle.pem; fi \\
 && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check -r requirements.txt
"""
_SYSTEM = """\
FROM {base}
RUN echo 'sandbox:x:{uid}:{uid}::/tmp:/bin/bash' >>/etc/passwd && echo 'sandbox:x:{uid}:' >>/etc/group \\
 && mkdir -p /testbed && chown {uid}:{uid} /testbed \\
 && find / -xdev -perm /6000 -type f -exec chmod a-s {{}} + \\
 && find / -xdev -perm -0002 -type d ! -path /tmp -exec chmod o-w {{}} +
"""
_ADD_DEPENDENCIES = """\
COPY --from=dependencies /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin
"""
_ADD_TREE = "COPY --chown={uid}:{uid} tree/ /testbed/\n"


@dataclass(frozen=True)
class Built:
    """An image that the engine holds. `sealed`: it lacks its tree, which is so many MiB large."""

    tag: str
    sealed: bool
    size_mb: int
    python: tuple[str, ...] = ("python3",)
    """The words that start the guest's Python in it."""


@dataclass(frozen=True)
class _Plan:
    """What an image is built from, where the engine does not have it."""

    built: Built
    dockerfile: str
    files: dict[str, bytes]
    tree: Path | None


class ImageBuilder:
    """Builds what is missing, each image once."""

    def __init__(self, engine: Engine, base: str, ca_bundle: Path | None) -> None:
        self._engine = engine
        self._base = base
        self._bases = {"": base}
        self._ca_bundle = ca_bundle
        self._built: dict[Image, Built] = {}
        self._building: defaultdict[Image, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, image: Image) -> Built:
        """The image as the engine holds it. Raises `SandboxError` with the end of the build's log."""
        if image in self._built:
            return self._built[image]
        async with self._building[image]:
            if image not in self._built:
                plan = await (self._plan_published(image) if image.reference else self._plan(image))
                if not await self._exists(plan.built.tag):
                    await self._build(image, plan)
                self._built[image] = plan.built
            return self._built[image]

    async def _plan(self, image: Image) -> _Plan:
        tree = await asyncio.to_thread(image_survey, image)
        sealed = tree.entries <= _SEALED_ENTRIES and tree.size <= _SEALED_MB << 20
        dockerfile = _dockerfile(await self._base_for(image.python_version), image, sealed)
        tag = _tag(image.name, dockerfile, *image.requirements, "" if sealed else tree.digest)
        files = {
            "requirements.txt": "\n".join([*image.requirements, ""]).encode(),
            "ca-bundle.pem": self._ca_bundle.read_bytes() if self._ca_bundle else b"",
        }
        return _Plan(Built(tag, sealed, -(-tree.size >> 20)), dockerfile, files, None if sealed else image.tree)

    async def _base_for(self, version: str) -> str:
        if version not in self._bases:
            self._bases[version] = await base_with(self._engine, self._base, version)
        return self._bases[version]

    async def _plan_published(self, image: Image) -> _Plan:
        reference = await find_image(self._engine, image.reference, f"image {image.name} from", _PULL_PATIENCE_S)
        dockerfile, files = published.dockerfile(self._base, reference), published.programs()
        tag = _tag(image.name, dockerfile, *(data.decode() for data in files.values()))
        return _Plan(Built(tag, False, 0, published.PYTHON), dockerfile, files, None)

    def forget(self, image: Image) -> None:
        """Ask the engine again, the next time, whether it has the image."""
        self._built.pop(image, None)

    async def _exists(self, tag: str) -> bool:
        try:
            await self._engine.json("GET", f"/images/{tag}/json")
        except EngineError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def _build(self, image: Image, plan: _Plan) -> None:
        context = await asyncio.to_thread(_context, plan)
        query: Query = {"t": plan.built.tag, "networkmode": "none", "forcerm": 1, "version": 1}
        query["labels"] = json.dumps({IMAGE_LABEL: image.name})
        if image.requirements and not image.reference:
            query["networkmode"] = "host"
            query["buildargs"] = json.dumps({name: os.environ[name] for name in _BUILD_SETTINGS if name in os.environ})
        log: list[str] = []
        try:
            async for message in self._engine.progress("/build", query, context):
                log += message.get("stream", "").splitlines()
        except EngineError as error:
            tail = " | ".join(line.strip() for line in log[-5:] if line.strip())
            raise SandboxError(f"image {image.name} could not be built: {error}; the log ends: {tail}") from error


def _tag(*parts: str) -> str:
    return f"contextrl-image:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"


def _dockerfile(base: str, image: Image, sealed: bool) -> str:
    parts = [_DEPENDENCIES, _SYSTEM, _ADD_DEPENDENCIES] if image.requirements else [_SYSTEM]
    return "".join([*parts, *([] if sealed else [_ADD_TREE])]).format(base=base, uid=SANDBOX_UID)


def _context(plan: _Plan) -> bytes:
    """The tar archive that the engine builds from."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in {"Dockerfile": plan.dockerfile.encode(), **plan.files}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        if plan.tree is not None:
            archive.add(plan.tree.resolve(), "tree", filter=_readable)
    return buffer.getvalue()


def _readable(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """What not even its owner may read could not be copied into a sandbox."""
    entry.mode |= 0o700 if entry.isdir() else 0o400
    return entry


def ca_bundle(given: Path | None) -> Path | None:
    """The certificates that image builds trust: those given, else those that programs of this machine trust."""
    path = given or ssl.get_default_verify_paths().cafile
    return Path(path) if path and Path(path).is_file() else None
