"""Whole episodes in real sandboxes, through the asynchronous core and through Gymnasium."""

import asyncio
import json
import pickle
import warnings

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from shop_repository import BROKEN, MONEY

from envs import ENV_ID
from envs.spaces import AnyText
from envs.swe import EpisodeError, SWEEnv
from envs.tools import Action
from sandbox.local import LocalBackend
from sandbox.loop import run_sync
from sandbox.protocol import SandboxError

FIX = Action("edit", {"path": "shop/money.py", "old": "- tax", "new": "+ tax"})
SUBMIT = Action("submit")


@pytest.fixture
async def env(backend, task, profile, limits):
    env = SWEEnv([task], {"shop": profile}, backend, limits=limits)
    yield env
    await env.aclose()


async def test_an_episode_that_solves_the_task(env, task, backend):
    assert await env.areset(task) == task.problem_statement
    failing = await env.astep(Action("run_tests"))
    assert "1 failed, 2 passed" in failing.observation and failing.exit_code == 1 and not failing.done
    assert (await env.astep(FIX)).observation == "edited shop/money.py"
    assert await env.patch() == task.patch
    last = await env.astep(SUBMIT)
    assert (last.reward, last.terminated, last.truncated) == (1.0, True, False)
    assert env.report is not None and env.report.resolved
    assert await env.patch() == task.patch
    assert env.files == ["shop/money.py"] and env.functions == ["shop/money.py::total"]
    assert env.answer == MONEY[MONEY.index("def total") : MONEY.index("\n\ndef change")]
    assert len(backend.started) == 2 and await backend.alive() == []


async def test_submitting_nothing_or_the_wrong_thing_gives_no_reward(env, task):
    await env.areset(task)
    last = await env.astep(SUBMIT)
    assert last.terminated and last.reward == 0.0 and env.report.reason == "the patch is empty"
    await env.areset(task)
    assert env.report is None and env.turns == 0
    await env.astep(Action("edit", {"path": "shop/money.py", "old": "- tax", "new": "* tax"}))
    assert (await env.astep(SUBMIT)).reward == 0.0 and "still failing" in env.report.reason


async def test_running_out_of_turns_truncates_ungraded(backend, task, profile, limits):
    env = SWEEnv([task], {"shop": profile}, backend, limits=limits, max_turns=2)
    await env.areset(task)
    assert not (await env.astep(FIX)).done
    last = await env.astep("no action")
    assert last.observation == "error: the action is not JSON"
    assert last.truncated and not last.terminated and last.reward == 0.0 and env.report is None
    assert await env.patch() == task.patch and env.files == ["shop/money.py"]
    assert len(backend.started) == 1 and await backend.alive() == []
    await env.areset(task)
    await env.astep(FIX)
    assert (await env.astep(SUBMIT)).terminated


async def test_the_patch_is_what_lies_in_the_sandbox(env, task):
    await env.areset(task)
    await env.astep(Action("edit", {"path": "shop/new.py", "new": "def f():\n    return 1\n"}))
    await env.astep(FIX)
    await env.astep(Action("edit", {"path": "shop/money.py", "old": "+ tax", "new": "- tax"}))
    await env.patch()
    assert env.files == ["shop/new.py"] and env.functions == ["shop/new.py::f"]


async def test_what_is_no_part_of_the_patch_is_said(env, task):
    await env.areset(task)
    await env.astep(FIX)
    await env.sandbox.run("ln -s /etc a-link; for n in 1 2 3 4 5 6; do printf '\\377' >$n.bin; done")
    result = await env.astep(SUBMIT)
    assert result.observation.startswith("submitted without 1.bin, 2.bin, 3.bin, 4.bin, 5.bin and 2 more: links, ")
    assert result.reward == 1.0


async def test_groups_play_at_the_same_time(backend, task, profile, limits):
    envs = [SWEEnv([task], {"shop": profile}, backend, limits=limits) for _ in range(4)]
    grader = envs[0].grader
    for env in envs:
        env.grader = grader

    async def play(env):
        await env.areset(task)
        await env.astep(FIX)
        return (await env.astep(SUBMIT)).reward

    assert await asyncio.gather(*map(play, envs)) == [1.0] * 4
    assert len(backend.started) == 5  # four episodes, one verdict


async def test_steps_out_of_order(env, task):
    with pytest.raises(EpisodeError, match="reset first"):
        await env.astep(SUBMIT)
    with pytest.raises(EpisodeError, match="reset first"):
        _ = env.task
    await env.areset(task)
    await env.astep(SUBMIT)
    with pytest.raises(EpisodeError, match="the episode is over"):
        await env.astep(SUBMIT)
    with pytest.raises(EpisodeError, match="profile 'other'"):
        await env.areset(task.model_copy(update={"profile": "other"}))


async def test_a_sandbox_that_dies_ends_the_episode_without_a_reward(env, task):
    await env.areset(task)
    await env.sandbox.stop()
    with pytest.raises(SandboxError):
        await env.astep(Action("view", {"path": "README.md"}))
    with pytest.raises(EpisodeError):
        await env.astep(SUBMIT)


# -- Gymnasium: its own thread and loop, so its own backend ---------------------------------------------------------

NAME = f"envs:{ENV_ID}"


@pytest.fixture
def gym_arguments(task, profile, limits):
    second = task.model_copy(update={"instance_id": "shop-2", "problem_statement": "The second one.\n"})
    yield {"tasks": [task, second], "profiles": {"shop": profile}, "backend": "local", "limits": limits}
    backend = LocalBackend()
    assert run_sync(backend.alive()) == []
    run_sync(backend.close())


def test_check_env_passes_without_a_warning(gym_arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(NAME, render_mode="ansi", **gym_arguments)
        check_env(env.unwrapped)
        env.close()
        env.close()


def test_an_episode_through_gymnasium(gym_arguments, task):
    env = gymnasium.make(NAME, render_mode="ansi", **gym_arguments)
    observation, info = env.reset(seed=1, options={"instance_id": "shop-1"})
    assert (observation, info) == (task.problem_statement, {}) and env.unwrapped.task == task
    observation, reward, terminated, truncated, info = env.step(FIX.to_json())
    assert (observation, reward, terminated, truncated) == ("edited shop/money.py", 0.0, False, False)
    assert env.render() == f"{task.problem_statement}\n> {FIX.to_json()}\nedited shop/money.py\n"
    observation, reward, terminated, truncated, info = env.step(json.dumps({"name": "submit"}))
    assert (reward, terminated, info["resolved"], info["reason"]) == (1.0, True, True, "")
    drawn = {(env.reset(seed=seed), env.unwrapped.task.instance_id)[1] for seed in range(8)}
    assert drawn == {"shop-1", "shop-2"}
    with pytest.raises(EpisodeError, match="no task 'nothing'"):
        env.reset(options={"instance_id": "nothing"})
    env.close()
    assert env.reset(seed=1)[1] == {} and env.unwrapped.task.instance_id in drawn  # a closed one opens again
    env.close()


def test_a_task_of_its_own(gym_arguments, task):
    arguments = {key: value for key, value in gym_arguments.items() if key != "tasks"}
    env = gymnasium.make(NAME, task=task, **arguments)
    assert env.reset()[0] == task.problem_statement
    env.close()
    with pytest.raises(EpisodeError, match="give either task"):
        gymnasium.make(NAME, **arguments)
    with pytest.raises(ValueError, match="no-such-set"):
        gymnasium.make(NAME, task="no-such-set/x", **arguments)
    with pytest.raises(EpisodeError, match="5 is no task"):
        gymnasium.make(NAME, tasks=5, **arguments)
    with pytest.raises(EpisodeError, match="no option 'turns': grader, limits, max_observation_chars, max_turns"):
        gymnasium.make(NAME, task=task, turns=3, **arguments)
    env = gymnasium.make(NAME, task=task, **arguments)
    env.reset()
    with pytest.raises(EpisodeError, match="5 is no action"):
        env.unwrapped.step(5)
    env.close()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_vectors_of_environments(gym_arguments, kind):
    options = {"autoreset_mode": gymnasium.vector.AutoresetMode.DISABLED}
    options |= {"shared_memory": False} if kind == "async" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")
        vector = gymnasium.make_vec(NAME, num_envs=2, vectorization_mode=kind, vector_kwargs=options, **gym_arguments)
        observations, _ = vector.reset(seed=3, options={"instance_id": "shop-1"})
        assert len(observations) == 2 and [one.instance_id for one in vector.get_attr("task")] == ["shop-1"] * 2
        observations, rewards, *_ = vector.step((FIX.to_json(), SUBMIT.to_json()))
        assert observations == ("edited shop/money.py", "submitted") and list(rewards) == [0.0, 0.0]
        vector.close()


@pytest.mark.parametrize(
    ("arguments", "message"), [({"render_mode": "human"}, "'human' is not known"), ({"max_turns": 0}, "max_turns is 0")]
)
def test_arguments_that_make_no_sense(gym_arguments, arguments, message):
    with pytest.raises(ValueError, match=message):
        SWEEnv(**gym_arguments, **arguments)


def test_any_text_is_in_the_space():
    space = AnyText(max_length=100_000, seed=0)
    assert BROKEN in space and "" in space and "é\0\n" in space and space.sample() in space
    assert 3 not in space and "x" * 100_001 not in space
    assert len(pickle.dumps(space)) < 20_000
