"""One step: the command `true` in a sandbox that stands."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import AsyncExitStack
from functools import partial

from benchmarks.sandbox.rows import Row, Target
from benchmarks.sandbox.world import Call, World
from envs.swe import SWEEnv
from envs.task import RepoProfile, TaskInstance
from envs.tools import Action
from sandbox import Limits, Sandbox, SandboxBackend
from sandbox.bench import TRUE, timed
from sandbox.remote import RemoteBackend

SHELL, PROGRAM, VIEW, REMOTE, LOCAL = 'run("true")', 'run(["/bin/true"])', "env.step, view", "remote", "local"
STEP, EXECUTE = "step", "execute"


async def measure(world: World, rounds: int) -> list[Row]:
    world.progress.stage("Steps")
    async with AsyncExitStack() as stack:
        calls: dict[str, Call] = {}
        if docker := world.backends.get("docker"):
            box = await world.box("docker", stack)
            calls |= {SHELL: stepping(box, "true"), PROGRAM: stepping(box, TRUE)}
            calls[VIEW] = await viewing(docker, world, stack)
            calls[REMOTE] = stepping(await remote_box(world, stack), "true")
        if "local" in world.backends:
            calls[LOCAL] = stepping(await world.box("local", stack), "true")
        for kind in ("docker-py", "docker CLI", "SWE-ReX", "mini-swe-agent") if docker else ():
            if peer := await world.peer(kind, stack, opened=True):
                more = {"SWE-ReX": (EXECUTE,), "mini-swe-agent": ("view",)}.get(kind, ())
                calls |= {f"{peer.name} {what}": partial(peer.timed, what) for what in (STEP, *more)}
        return rows_of(await world.interleaved(calls, rounds))


def rows_of(found: dict[str, list[float]]) -> list[Row]:
    peers = {name: values for name, values in found.items() if name not in (SHELL, PROGRAM, VIEW, REMOTE, LOCAL)}
    against = {
        SHELL: ("step `true`, Docker", Target(1.0), r"(step|execute)$"),
        PROGRAM: ("step [/bin/true], no shell, Docker", None, r"docker.*step$"),
        VIEW: ("env.step: view a file, Docker", None, r"view$"),
        REMOTE: ("step `true`, remote, loopback", Target(2.0), r"execute$"),
        LOCAL: ("step `true`, local", None, r"^$"),
    }
    rows = []
    for ours, (measure, target, pattern) in against.items():
        if ours in found:
            theirs = {name: values for name, values in peers.items() if re.search(pattern, name)} or {"": []}
            rows += [Row(measure, "ms", found[ours], target, name, values) for name, values in theirs.items()]
    return rows


def stepping(box: Sandbox, command: str | list[str]) -> Call:
    return lambda: timed(lambda: box.run(command))


async def viewing(backend: SandboxBackend, world: World, stack: AsyncExitStack) -> Call:
    """The cheapest action there is, through the environment that agents act in."""
    commit = "0" * 40
    profile = RepoProfile(
        name="benchmark", source="", base_commit=commit, tree=world.image.tree, test_cmd="true {tests}"
    )
    task = TaskInstance(
        instance_id="benchmark",
        repo="benchmark",
        base_commit=commit,
        problem_statement="",
        patch="",
        FAIL_TO_PASS=(),
        PASS_TO_PASS=(),
        profile="benchmark",
    )
    env = SWEEnv([task], {"benchmark": profile}, backend, max_turns=1_000_000)
    await env.areset(task)
    stack.push_async_callback(env.aclose)
    action = Action("view", {"path": "file7.py"})
    return lambda: timed(lambda: env.astep(action))


async def remote_box(world: World, stack: AsyncExitStack) -> Sandbox:
    """A sandbox of a service of its own process that has Docker sandboxes."""
    command = ("-m", "sandbox.service", "--port", "0", "--backend", "docker", "--size", "4")
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
    stack.push_async_callback(process.wait)
    stack.callback(process.terminate)
    assert process.stderr is not None
    while not (said := re.search(r"http://\S+", line := (await process.stderr.readline()).decode())):
        if not line:
            raise RuntimeError("the sandbox service did not start")
    remote = RemoteBackend([said[0]])
    stack.push_async_callback(remote.close)
    box = await remote.start(world.image, Limits())
    await box.run("true")
    return box
