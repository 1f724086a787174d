"""The same inside a published image: its own history, its conda, its root; the network is closed."""

import io
import json
import os
import tarfile
from contextlib import asynccontextmanager, suppress

import pytest
from scripted_shop import BROKEN, FILES, GOLD, MONEY, SOURCE, TESTS, files_patch, script, scripted_task

from envs.grading.choose import TaskGrader
from envs.patch import make_patch
from envs.published import published_profile
from envs.runtime import image_of
from sandbox.base_image import default_base
from sandbox.docker import DockerBackend
from sandbox.engine_api import Engine, EngineError, engine_socket

CONDA = 'conda() { test "$1" = activate && export CONDA_DEFAULT_ENV=$2; }\n'
MAKE = r"""
set -e
export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@x GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@x
mkdir -p /opt/miniconda3/bin && mv /image/activate /opt/miniconda3/bin/
mv /image/testbed /testbed && cd /testbed && git init -q && git add . && git commit -qm "The task"
sed -i 's/- tax/+ tax/' shop/money.py && git commit -qam "The fix" && git tag fixed && git reset -q --hard HEAD~1
rm -r /image
"""
CASES = """\
import os
import unittest
from shop.money import change, total


class Money(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2], 4), 7)

    def test_change(self):
        self.assertEqual(change(5, 3), 2)

    def test_environment(self):
        self.assertEqual(os.environ["CONDA_DEFAULT_ENV"], "testbed")
"""
TEST_PATCH = make_patch({TESTS: FILES[TESTS]}, {TESTS: CASES})
READY = "source /opt/miniconda3/bin/activate\nconda activate testbed\ngit config --global --add safe.directory /testbed"
COMMAND = "python3 -m unittest -v tests.test_money"
REACHES = "import socket\ntry: socket.create_connection(('1.1.1.1', 53), 2)\nexcept OSError: pass\nelse: print(0 / 0)\n"


@asynccontextmanager
async def image():
    engine, archive = Engine(engine_socket()), io.BytesIO()
    docker = f"FROM {await default_base(engine)}\nCOPY image /image\nRUN bash /image/make.sh\nWORKDIR /testbed\n"
    files = {"Dockerfile": docker, "image/make.sh": MAKE, "image/activate": CONDA}
    files |= {f"image/testbed/{path}": text for path, text in FILES.items()}
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text.encode()), 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    tag = f"contextrl-test-scripted:{os.getpid()}"
    query = {"t": tag, "networkmode": "none", "forcerm": 1, "version": 1}
    async for _ in engine.progress("/build", query, archive.getvalue()):
        pass
    try:
        yield tag
    finally:
        name = json.dumps({"label": [f"contextrl.image={image_of(published_profile(task_of(tag))).name}"]})
        for found in await engine.json("GET", "/images/json", {"filters": name}):
            with suppress(EngineError):
                await engine.json("DELETE", f"/images/{found['Id']}", {"force": 1})
        await engine.json("DELETE", f"/images/{tag}", {"force": 1})


def id_of(test):
    """As Debian's Python 3.13 prints it."""
    return f"test_{test} (tests.test_money.Money.test_{test})"


def task_of(tag):
    return scripted_task(
        image=tag,
        test_patch=TEST_PATCH,
        eval_script=script(COMMAND, TEST_PATCH, READY),
        log_parser="parse_log_django",
        FAIL_TO_PASS=(id_of("total"),),
        PASS_TO_PASS=(id_of("change"), id_of("environment")),
    )


FORGED = "import atexit, os, sys\n" + "atexit.register(lambda: os.write(2, {text!r}.encode()))\n"
HOOK = "import pytest\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport(): yield\n"
ATTACKS = {
    "marker": (BROKEN + FORGED.format(text=">>>>> End Test Output\n>>>>> Test Exit Code: 0\n"), True),
    "late ok": (BROKEN + FORGED.format(text=f"\n{id_of('total')} ... ok\n"), True),
    "history": (BROKEN + "import os\nos.system('git checkout -q fixed -- shop')\nfrom shop.money import *\n", False),
    "early exit": (BROKEN + f"import os\nos.write(2, b'{id_of('total')} ... ok\\n'); os._exit(0)\n", False),
}


@pytest.mark.docker
async def test_grading_inside_a_published_image(limits):
    docker = DockerBackend()
    grader = TaskGrader(docker, limits)
    try:
        async with image() as tag:
            task = task_of(tag)
            profile = published_profile(task)
            gold = await grader.grade(task, profile, GOLD)
            assert gold.resolved, gold
            assert set(gold.pass_to_pass.values()) == {"passed"}
            assert not (await grader.grade(task, profile, "")).resolved
            assert (await grader.grade(task, profile, files_patch({SOURCE: MONEY + REACHES}))).resolved
            hooked = await grader.grade(task, profile, files_patch({"conftest.py": HOOK}))
            assert hooked.tampered and "takes hold of pytest in conftest.py" in hooked.reason
            for name, (text, shows) in ATTACKS.items():
                report = await grader.grade(task, profile, files_patch({SOURCE: text}))
                assert not report.resolved, (name, report)
                assert report.tampered or not shows, (name, report)
    finally:
        await grader.close()
        await docker.close()
