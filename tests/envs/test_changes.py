"""The hash of a repository after each step: equal if and only if the same differs from what was given."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop_repository import BROKEN, FILES

from envs.changes import Watch
from envs.swe import SWEEnv
from envs.task import RepoProfile, TaskInstance
from envs.tools import Action
from envs.workspace import open_workspace
from sandbox import open_backend
from sandbox.local import LocalBackend
from sandbox.protocol import ExecResult, Limits

EDIT = Action("edit", {"path": "shop/money.py", "old": "- tax", "new": "+ tax"})
BACK = Action("edit", {"path": "shop/money.py", "old": "+ tax", "new": "- tax"})
DIFFERENT = {
    "a text": "echo x >>shop/text.py",
    "another text": "echo y >>shop/text.py",
    "as many characters, and the time of before": (
        "printf X | dd of=shop/text.py bs=1 conv=notrunc status=none; touch -d @946684800 shop/text.py"
    ),
    "a new file": "echo x >new.py",
    "a new file of the same contents": "echo x >other.py",
    "the same as a program": "echo x >new.py; chmod +x new.py",
    "a file that may be executed": "chmod +x shop/text.py",
    "a file that is gone": "rm shop/text.py",
    "an empty file": ": >shop/text.py",
    "a binary file": r"printf '\377\0' >data.bin",
    "another binary file": r"printf '\377\1' >data.bin",
    "a large file": "head -c 3000000 /dev/zero >big.txt",
    "another large file of that size": "head -c 3000000 /dev/zero | tr '\\0' x >big.txt",
    "a link": "ln -s shop/text.py link",
    "a link to elsewhere": "ln -s shop/money.py link",
    "a link in a file's place": "rm shop/text.py; ln -s money.py shop/text.py",
    "a name that a patch cannot quote": """echo x >'a"b'""",
    "its contents": """echo y >'a"b'""",
    "many files": "mkdir -p m; cd m; seq 1500 | xargs touch",
    "many files, one of them other": "mkdir -p m; cd m; seq 1500 | xargs touch; echo x >99; cd ..",
}
EQUAL = {
    "nothing": "true",
    "times": "touch -d 2001-01-01 shop/text.py; touch README.md",
    "the same contents, written anew": "cp shop/text.py x; cat x >shop/text.py; rm x",
    "caches": "mkdir .pytest_cache shop/__pycache__; echo 1 >.pytest_cache/x; echo 2 >shop/__pycache__/y; echo >z.pyc",
    "git": "git status; git checkout -b other",
    "an empty folder": "mkdir empty",
}


async def trees(backend: str, scripts: dict[str, str], task, profile) -> dict[str, str]:
    """The hash after each script, in a sandbox of its own."""
    opened = await open_backend(backend)
    found = {}
    try:
        for name, script in scripts.items():
            place = await open_workspace(opened, task, profile, Limits())
            untouched = place.watch.last.tree
            await place.sandbox.run(script)
            found[name] = (await place.changes()).tree
            assert (await place.changes()).tree == found[name]
            if name in EQUAL:
                assert found[name] == untouched
            await place.close()
    finally:
        await opened.close()
    return found


@pytest.mark.docker
async def test_it_tells_apart_what_differs_and_is_the_same_in_both_backends(task, profile):
    local = await trees("local", DIFFERENT | EQUAL, task, profile)
    assert len({local[name] for name in DIFFERENT}) == len(DIFFERENT)
    assert len({local[name] for name in EQUAL}) == 1 and local["nothing"] not in {local[name] for name in DIFFERENT}
    assert await trees("docker", DIFFERENT | EQUAL, task, profile) == local


async def test_a_folder_that_was_closed_ends_nothing(backend, task, profile, limits):
    place = await open_workspace(backend, task, profile, limits)
    try:
        assert (
            await place.sandbox.run("mkdir shut; echo x >shut/a.py; chmod 0 shut; echo y >>shop/text.py")
        ).exit_code == 0
        assert "shop/text.py" in (await place.changes()).after
    finally:
        await place.close()


async def test_another_repository_has_another_hash(backend, task, profile, limits):
    other = task.model_copy(update={"setup": {"shop/money.py": BROKEN + "\n"}})
    places = [await open_workspace(backend, t, profile, limits) for t in (task, other)]
    assert len({place.watch.last.tree for place in places}) == 2
    for place in places:
        await place.close()


async def test_a_write_within_the_tick_in_which_all_was_given_is_seen(backend, task, profile, limits):
    """Their clock stands then where it stood: what is later by another clock is not by theirs."""
    for _ in range(10):
        place = await open_workspace(backend, task, profile, limits)
        given = place.watch.last.tree
        assert (await place.sandbox.run(DIFFERENT["as many characters, and the time of before"])).exit_code == 0
        assert (await place.changes()).tree != given
        await place.close()


async def test_a_second_write_of_the_same_size_within_a_tick_is_seen(backend, task, profile, limits):
    """Their clock ticks every few milliseconds, so neither size nor time tells."""
    place = await open_workspace(backend, task, profile, limits)
    found = []
    for number in range(40):
        await place.sandbox.write({"shop/text.py": b"x = %d\n" % (number % 10)})
        found.append((await place.changes()).tree)
    assert len(set(found)) == 10 and found[:10] * 4 == found
    await place.close()


class Still:
    """A sandbox whose clock stands still, as it does between two ticks; its list says nothing but names and sizes."""

    def __init__(self, changed):
        self.files, self.reads, self.changed = {}, 0, changed

    async def run(self, command):
        lines = (f"{len(data)} 644 1 {self.changed} {path}\0" for path, data in self.files.items())
        return ExecResult(0, "".join(lines), "", 0.0)

    async def read(self, path):
        self.reads += 1
        return self.files[path]


class Nothing:
    given, identity = {}, "nothing"

    async def read(self, path):
        return None


async def test_what_may_have_changed_within_the_same_tick_is_read_again():
    box = Still(time.time())
    watch, box.files = Watch(box, Nothing(), {}), {"a.py": b"x = 1"}
    one = await watch.look()
    box.files = {"a.py": b"x = 2"}
    assert (await watch.look()).after == {"a.py": "x = 2"} and (await watch.look()).tree != one.tree


async def test_what_has_not_changed_for_long_is_not_read_again():
    box = Still(time.time() - 60)
    watch, box.files = Watch(box, Nothing(), {}), {"a.py": b"x = 1"}
    assert [(await watch.look()).after for _ in range(3)] == [{"a.py": "x = 1"}] * 3 and box.reads == 1


async def test_a_write_through_a_link_is_seen(backend, task, profile, limits):
    place = await open_workspace(backend, task, profile, limits)
    await place.sandbox.run("ln -s text.py shop/link.py")
    await place.watch.look()
    await place.sandbox.write({"shop/link.py": b"x = 1\n"})
    found = await place.watch.look_at({"shop/link.py"})
    assert found.after == {"shop/text.py": "x = 1\n"} and found == await place.watch.look()
    await place.close()


async def test_each_step_tells_what_differs_then(backend, task, profile, limits):
    env = SWEEnv([task], {"shop": profile}, backend, limits=limits)
    await env.areset(task)
    steps = [
        await env.astep(action)
        for action in (
            Action("view", {"path": "shop/money.py"}),
            EDIT,
            Action("edit", {"path": "shop/money.py", "old": "not there", "new": ""}),
            Action("run_tests"),
            "no action",
            BACK,
            Action("submit"),
        )
    ]
    diffs = [step.diff for step in steps]
    assert diffs == ["", task.patch, task.patch, task.patch, task.patch, "", ""]
    names = [step.tree for step in steps]
    assert names[0] == names[5] == names[6] != names[1] == names[2] == names[3] == names[4]


async def test_what_tests_write_is_seen(backend, task, profile, limits):
    env = SWEEnv([task], {"shop": profile}, backend, limits=limits)
    await env.areset(task)
    test = "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        open('left', 'w').write('x')\n"
    await env.astep(Action("edit", {"path": "tests/test_new.py", "new": test}))
    result = await env.astep(Action("run_tests", {"tests": "tests/test_new.py"}))
    assert "+++ b/left\n" in result.diff
    assert (await env.astep(Action("view", {"path": "left"}))).tree == result.tree
    await env.aclose()


async def test_a_write_that_fails_is_looked_at(backend, task, profile, limits):
    env = SWEEnv([task], {"shop": profile}, backend, limits=limits)
    await env.areset(task)
    result = await env.astep(Action("edit", {"path": "shop/text.py/x.py", "new": "x"}))
    assert result.observation == "error: cannot write shop/text.py/x.py" and result.diff == ""
    await env.aclose()


async def test_it_can_be_switched_off(backend, task, profile, limits):
    env = SWEEnv([task], {"shop": profile}, backend, limits=limits, record_diffs=False)
    await env.areset(task)
    step, last = await env.astep(EDIT), await env.astep(Action("submit"))
    assert (step.diff, step.tree, last.diff, last.tree) == (None, "", None, "")
    assert await env.patch() == task.patch and last.reward == 1.0


WRITTEN = st.sampled_from(["shop/text.py", "new/a.py", "b.txt", "__pycache__/c.py", "odd'name", 'a"b', "d.pyc"])
CONTENTS = st.sampled_from(
    [b"", b"x\n", b"\xff\x00", b"y" * (1 << 20), b"y" * ((1 << 20) + 1), FILES["shop/text.py"].encode()]
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(WRITTEN, CONTENTS), min_size=1, max_size=6))
def test_what_was_written_alone_is_seen_as_the_whole_list_shows_it(profile_and_task, writes):
    profile, task = profile_and_task

    async def play():
        opened = LocalBackend()
        place = await open_workspace(opened, task, profile, Limits())
        for path, data in writes:
            await place.sandbox.write({path: data})
            assert await place.watch.look_at({path}) == await place.watch.look()
        await place.close()
        await opened.close()

    asyncio.run(play())


@pytest.fixture(scope="session")
def profile_and_task(profile: RepoProfile, task: TaskInstance) -> tuple[RepoProfile, TaskInstance]:
    return profile, task
