"""Episodes on a published image: our own and another program's, replayed where only the image has the repository."""

import subprocess
import sys

import pytest
from replay_ground import record

from envs.published import published_profile
from envs.swe import SWEEnv
from envs.task import TaskInstance
from envs.tools import Action
from sandbox import open_backend
from trajectories.records import ToolCall, Trajectory, Turn
from trajectories.replay.foreign import ForeignStage
from trajectories.replay.own import OwnStage
from trajectories.replay.replaying import Replay
from trajectories.replay.tasks import Ground

pytestmark = pytest.mark.docker
IMAGE = "contextrl-test-replayed:1"
DOCKERFILE = """FROM {base}
RUN mkdir /testbed && cd /testbed && printf 'def f():\\n    return 1\\n' >a.py && echo notes >b.txt \\
 && ln -s a.py link && git init -q && git add . && git -c user.name=x -c user.email=x@x commit -qm one
"""
ROW = {"instance_id": "o__r-1", "repo": "o/r", "base_commit": "abc", "problem_statement": "x", "patch": ""}
TASK = TaskInstance(**ROW, FAIL_TO_PASS=(), PASS_TO_PASS=(), image=IMAGE)


@pytest.fixture(scope="module", autouse=True)
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    base = subprocess.run([sys.executable, "-m", "sandbox.base_image"], capture_output=True, text=True, check=True)
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=base.stdout.split()[-1]))
    subprocess.run(["docker", "build", "-q", "-t", IMAGE, folder], check=True, capture_output=True)


@pytest.fixture
async def docker():
    backend = await open_backend("docker")
    yield backend
    await backend.close()


async def replayed(trajectory, stage):
    replay = Replay(trajectory, stage)
    try:
        await replay.open()
        await replay.run()
        return await replay.finish()
    finally:
        await replay.close()


async def test_our_own(docker):
    edit = Action("edit", {"path": "a.py", "old": "return 1", "new": "return 2"})
    script = (Action("view", {"path": "a.py"}), edit, Action("search", {"pattern": "return"}))
    profile = published_profile(TASK)
    episode = await record(docker, profile, TASK, script)
    report = await replayed(episode, OwnStage(episode, TASK, None, docker))
    assert report.divergences == [] and report.image == IMAGE and "+    return 2" in report.steps[-1].diff
    assert len({step.tree for step in report.steps}) == 2 and all(step.expected_tree for step in report.steps)


async def test_another_program_s(docker):
    commands = ("cat a.py link; ls", "sed -i s/1/3/ a.py; rm b.txt", "ln -sf b.txt link", "git diff --stat")
    env = SWEEnv([TASK], {}, docker)
    await env.areset(TASK)
    turns = []
    for command in commands:
        ran = await env.sandbox.run(["bash", "-c", command])
        observation = f"<returncode>{ran.exit_code}</returncode>\n<output>\n{ran.stdout}</output>"
        call = ToolCall(name="bash", arguments={"command": command})
        turns.append(Turn(tool_call=call, observation=observation, exit_code=ran.exit_code))
    patch = await env.patch()
    await env.aclose()
    run = Trajectory(
        instance_id="o__r-1",
        repo="o/r",
        base_commit="abc",
        problem_statement="x",
        turns=turns,
        patch=patch,
        agent="mini-swe-agent",
    )
    report = await replayed(run, ForeignStage(run, Ground(TASK, None, graded=False), docker))
    assert report.divergences == [] and report.verdict is None
    assert len({step.tree for step in report.steps}) == 3  # a file changed, then a link
