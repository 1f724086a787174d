"""A small repository with one task, and a backend that counts what it starts."""

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from shop_repository import BROKEN, FILES, HIDDEN, MONEY, PREFIX

from envs.patch import make_patch
from envs.task import RepoProfile, TaskInstance
from sandbox.local import LocalBackend
from sandbox.protocol import Limits


@dataclass
class CountingBackend(LocalBackend):
    """The local backend; notes the sandboxes that it started."""

    started: list[str] = field(default_factory=list)
    has_started: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self):
        super().__init__()

    async def start(self, image, limits, *, network=False):
        sandbox = await super().start(image, limits, network=network)
        self.started.append(sandbox.name)
        self.has_started.set()
        return sandbox


@pytest.fixture
async def backend():
    backend = CountingBackend()
    yield backend
    assert await backend.alive() == []
    await backend.close()


@pytest.fixture
def limits():
    return Limits(timeout_s=20.0)


@pytest.fixture(scope="session")
def profile(tmp_path_factory):
    tree = tmp_path_factory.mktemp("shop")
    tree.chmod(0o755)
    for path, text in FILES.items():
        (tree / path).parent.mkdir(exist_ok=True)
        (tree / path).write_text(text)
    return RepoProfile(
        name="shop",
        source=str(tree),
        base_commit="5b0" + "0" * 37,
        tree=tree,
        python=Path(sys.executable),
        test_cmd="python -m unittest -v {tests}",
        source_files=("shop/money.py", "shop/text.py"),
        test_files=("tests/test_money.py", "tests/test_text.py"),
    )


@pytest.fixture(scope="session")
def task(profile):
    return TaskInstance(
        instance_id="shop-1",
        repo="shop",
        base_commit=profile.base_commit,
        problem_statement="total([1, 2], 4) gives -1, expected 7.\n",
        patch=make_patch({"shop/money.py": BROKEN}, {"shop/money.py": MONEY}),
        FAIL_TO_PASS=(PREFIX + "total", PREFIX + "no_prices"),
        PASS_TO_PASS=(PREFIX + "change", PREFIX + "cart"),
        profile="shop",
        setup={"shop/money.py": BROKEN},
        tests={"tests/test_money.py": HIDDEN},
        test_targets=("tests/test_money.py",),
        kind="operator",
    )
