"""Bugs by every strategy: asked of a server that answers like an endpoint, validated, resumed; what is refused."""

import json
import re
import subprocess
from collections import Counter
from dataclasses import replace
from itertools import count

import pytest
from chat_server import chat_server
from small_package import NUMBERS, write

from envs.repos import add_repository
from envs.synthesis import TaskOptions
from envs.synthesis.llm import MirrorError, ModelConfig, ModelError, past_commits
from envs.tasksets import taskset
from envs.tasksets.cache import taskset_folder
from envs.tasksets.reader import how_made
from sandbox.home import home

BUGS = {
    "clamp": "def clamp(value, low, high):\n    return {n} - {n}",
    "mean": "def mean(values):\n    return {n} + len(values)",
    "countdown": "def countdown(start):\n    yield {n} + start",
    "put": "def put(self, item):\n    self.items.append(item)\n    return {n} + 7",
    "__init__": "I cannot think of one.",
}
OLD = NUMBERS.replace("value > high", "value >= high + 99")
OPTIONS = TaskOptions(bugs=3, per_function=2, hidden=False)


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path / "home"))


@pytest.fixture
async def small(tmp_path, backend):
    return await add_repository(str(write(tmp_path / "small")), backend=backend)


@pytest.fixture
def answers():
    """A model that writes another bug every time it is asked about a function, and short reports."""
    numbers = count(1)

    def answer(body):
        system, user = (message["content"] for message in body["messages"])
        if "report of a bug" in system:
            return f"# It fails\n\nReport {next(numbers)}."
        name = re.search(r"def (\w+)\(", user).group(1)
        return f"```python\n{BUGS[name].replace('{n}', str(next(numbers)))}\n```"

    return answer


def asking(url, *strategies, **more):
    model = ModelConfig(base_url=url, model="m", retries=0, input_price=2, output_price=4)
    return replace(OPTIONS, strategies=strategies, model=model, **more)


async def test_models_modify_and_rewrite_functions(small, backend, answers):
    with chat_server(answers) as (url, requests):
        options = asking(url, "modify", "rewrite", bugs=8)
        tasks = await taskset(small, options, backend=backend)
        asked = len(requests)
        assert await taskset(small, options, backend=backend) == tasks and len(requests) == asked
    kinds = Counter(task.kind for task in tasks)
    assert set(kinds) == {"lm_modify", "lm_rewrite"} and len(tasks) == 8
    assert all(task.FAIL_TO_PASS and task.PASS_TO_PASS for task in tasks)
    assert max(Counter((task.kind, task.functions) for task in tasks).values()) == 2, "several of one function"
    made = how_made(taskset_folder(small, options))
    assert made["options"]["strategies"] == ["modify", "rewrite"]
    assert made["model"] == {
        "name": "m", "calls": asked, "failures": 0, "input_tokens": 1000 * asked, "output_tokens": 500 * asked,
        "cost": pytest.approx(0.004 * asked),
    }  # fmt: skip
    assert url not in json.dumps(made), "whom a company asks is its own business"
    assert made["funnel"].get("no bug in the answer", 0) == sum("def __init__" in str(request) for request in requests)


async def test_bugs_are_combined_without_a_model(small, backend):
    options = replace(OPTIONS, bugs=8, strategies=("procedural", "combine"), heldout_function=0.5)
    tasks = await taskset(small, options, backend=backend)
    single, combined = ([t for t in tasks if (t.kind == "combine_file") is both] for both in (False, True))
    assert combined and len(tasks) == 8
    for task in combined:
        assert len(set(task.functions)) == 2
        parts = [t for t in single if t.functions[0] in task.functions]
        assert {t.functions[0] for t in parts} == set(task.functions)
        assert {test for t in parts for test in t.FAIL_TO_PASS} >= set(task.FAIL_TO_PASS)
    trained = {name for t in tasks if t.split != "heldout_function" for name in t.functions}
    held = [t for t in single if t.split == "heldout_function"]
    assert held and trained.isdisjoint(t.functions[0] for t in held)


@pytest.fixture
def history(tmp_path):
    """Four commits: an old state, the fix, something later that stands in the fix's way, a test."""
    place = tmp_path / "history"
    later = NUMBERS.replace("total += value", "total += value  # summed up")
    for number, text in enumerate((OLD, NUMBERS, later, later)):
        write(place, {"small/numbers.py": text, "tests/test_numbers.py": f"{number}\n"})
        for words in (["init", "-q"], ["add", "-A"],
                      ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "x"]):  # fmt: skip
            subprocess.run(["git", *words], cwd=place, check=True)
    return place


async def test_past_commits_are_taken_back_without_a_model(small, backend, history):
    commits = await past_commits(history, "HEAD~3..HEAD")
    assert len(commits) == 3
    with pytest.raises(MirrorError, match=r"no commit in HEAD\.\.HEAD"):
        await past_commits(history, "HEAD..HEAD")
    options = replace(OPTIONS, strategies=("mirror",), history=history, commits=commits)
    (task,) = await taskset(small, options, backend=backend)
    assert task.kind == "mirror" and task.instance_id.endswith(f"mirror__{commits[2][:8]}")
    assert task.setup == {"small/numbers.py": OLD} and task.functions == ("small/numbers.py::clamp",)
    assert task.FAIL_TO_PASS == ("tests.test_numbers.ClampTest.test_high",)
    made = how_made(taskset_folder(small, options))
    assert made["funnel"] == {"valid": 1, "commit cannot be mirrored": 2}
    assert str(history) not in json.dumps(made)


async def test_an_interrupted_making_does_not_ask_again(small, backend, answers):
    left = 5

    def failing(body):
        nonlocal left
        left -= 1
        return answers(body) if left >= 0 else (401, b"no more money", {})

    with chat_server(failing) as (url, requests):
        options = asking(url, "modify", bugs=5, describe=True)
        with pytest.raises(ModelError, match=r"no more money; .* the same command goes on") as caught:
            await taskset(small, options, backend=backend)
        assert "\n" not in str(caught.value)
        journal = [json.loads(line) for path in (home() / "tasksets").glob(".making-*/*.jsonl") for line in path.open()]
        valid = {entry["candidate"] for entry in journal if "verdict" in entry and not entry["verdict"]["reason"]}
        assert valid, "the first wave was answered and validated"
        before, left = len(requests), 1000
        tasks = await taskset(small, options, backend=backend)
        again = [request["messages"][1]["content"] for request in requests]
    assert len(tasks) == 5 and all("Report" in task.problem_statement for task in tasks)
    assert {task.instance_id.partition("__")[2] for task in tasks} >= valid, "no validated bug is lost"
    assert max(Counter(again[:5] + again[before:]).values()) <= OPTIONS.per_function, "what was answered is not asked"
    usage = how_made(taskset_folder(small, options))["model"]
    assert usage["calls"] == len(requests) and usage["failures"] == before - 5 > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strategies": ("modify",)}, "the strategy modify takes a language model: say which and where"),
        ({"describe": True}, "describing bugs takes a language model"),
        ({"strategies": ("mirror",)}, "say which .--commits"),
        ({"strategies": ("combine",)}, "there is nothing to combine"),
        ({"strategies": ("poem",)}, "no strategy 'poem'"),
        ({"model": ModelConfig(base_url="http://x/v1", model="m")}, "no one would ask the language model"),
        ({"model": ModelConfig(base_url="x", model="m"), "describe": True}, "must start with http"),
    ],
)
def test_what_cannot_be_asked_for_is_one_sentence(options, said):
    with pytest.raises(ValueError, match=said) as caught:
        TaskOptions(**options).check()
    assert "\n" not in str(caught.value)


def test_repositories_of_ours_bring_their_own_bugs():
    with pytest.raises(ValueError, match="brings its own bugs"):
        TaskOptions(strategies=("procedural", "combine")).check(generated=True)


def test_what_decides_is_in_the_key_and_what_does_not_is_not(small):
    model = ModelConfig(base_url="http://x/v1", model="m")
    one = replace(OPTIONS, model=model, strategies=("modify", "mirror"), commits=("a",))
    same = replace(one, model=model.model_copy(update={"retries": 9, "input_price": 1.0}), history=home())
    others = [
        replace(one, model=model.model_copy(update=update))
        for update in ({"model": "n"}, {"base_url": "http://y/v1"}, {"temperature": 0.5}, {"max_tokens": 9})
    ]
    others += [replace(one, commits=("b",)), replace(one, describe=True), replace(one, strategies=("modify",))]
    assert taskset_folder(small, same) == taskset_folder(small, one)
    assert taskset_folder(small, replace(one, strategies=("mirror", "modify"))) == taskset_folder(small, one)
    assert len({taskset_folder(small, other) for other in [one, *others]}) == len(others) + 1
