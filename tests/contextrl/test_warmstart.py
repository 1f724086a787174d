"""What the tiny policy is made from: renamed consistently, weighted where it counts."""

from __future__ import annotations

import random

import pytest
import torch

from agents.tiny.demonstrator import PERFECT, demonstrate
from agents.tiny.tokenizer import ASSISTANT
from contextrl.choice import ChoiceFormat
from contextrl.warmstart.config import WarmStart
from contextrl.warmstart.corpus import Corpus
from contextrl.warmstart.make import new_policy
from contextrl.warmstart.train import supervise, weighted_loss
from envs.generated.grammar import random_module
from envs.generated.repository import document, document_path, source_path
from envs.generated.variants import problem_statement
from envs.task import TaskInstance
from trajectories.records import ToolCall, Trajectory, Turn

POLICY = new_policy(0)


def episode(name: str, seed: int) -> Trajectory:
    """A perfect demonstration, played on paper."""
    module = random_module(random.Random(seed), name, 3)
    f, chat = module.functions[0], POLICY.chat
    files = {document_path(name): document(module), source_path(name): module.source()}
    statement = problem_statement(name, f, (3, 7, 1, 2))
    task = TaskInstance(
        instance_id=name, repo="r", base_commit="c", problem_statement=statement, patch="",
        FAIL_TO_PASS=("a",), PASS_TO_PASS=("b",),
    )  # fmt: skip
    script, turns, prompt = demonstrate(task, random.Random(seed), PERFECT), [], chat.opening(statement)
    action = next(script)
    while True:
        text = chat.tool_format.render(action)
        seen = files.get(action.arguments["path"], "") if action.name == "view" else "edited"
        ids = [*chat.encode(text), chat.end_of_turn]
        call = ToolCall(name=action.name, arguments=action.arguments)
        turns.append(
            Turn(prompt_ids=prompt, completion_ids=ids, logprobs=[0.0] * len(ids), text=text, tool_call=call,
                 observation=seen)
        )  # fmt: skip
        prompt = chat.observation(seen)
        try:
            action = script.send(seen)
        except StopIteration:
            break
    return Trajectory(
        instance_id=name, repo="r", base_commit="c", problem_statement=statement, turns=turns,
        files=[source_path(name)],
        answer=f.source().rstrip("\n"), patch="+" + f.source(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    episodes = [episode(name, seed) for seed, name in enumerate(("kavo", "lemi", "zuba"))]
    return Corpus(POLICY.tokenizer, ChoiceFormat(POLICY.tokenizer, 2048), episodes, episodes, seed=0)


def test_renaming_keeps_the_structure(corpus: Corpus) -> None:
    one, other = corpus.demonstrations(3)[0], corpus.demonstrations(3)[0]
    assert one.ids != other.ids and len(one.ids) == len(one.weights)
    text = POLICY.tokenizer.decode(one.ids)
    name = text.split("docs/")[1].split(".md")[0]
    assert text.count(f"arith/{name}.py") >= 3, "a name is not the same throughout"


def test_only_what_is_written_has_full_weight(corpus: Corpus) -> None:
    example = corpus.quotes(1)[0]
    written = [i for i, w in zip(example.ids, example.weights, strict=True) if w == 1.0]
    text = POLICY.tokenizer.decode(example.ids)
    assert text.endswith(POLICY.tokenizer.decode(written)) and POLICY.tokenizer.decode(written).startswith("def ")
    assert text.count(ASSISTANT) >= 2


def test_choices_teach_the_right_letter(corpus: Corpus) -> None:
    for example in corpus.choices(6):
        assert sum(example.weights) == 1.0 and example.weights[-1] == 1.0
        text = POLICY.tokenizer.decode(example.ids)
        answer = text.split("answer?\n")[1].split("\n")[0]
        halves = text.split("B| ", 1)
        right = "A" if answer.removeprefix("def ").split("(")[0] in halves[0].split("A| ", 1)[1] else "B"
        assert text[-1] == right


def test_training_lowers_the_loss(corpus: Corpus) -> None:
    policy = new_policy(1)
    examples = corpus.demonstrations(3)
    before = float(weighted_loss(policy.model, examples).detach())
    supervise(policy.model, corpus, WarmStart(copy_steps=15, choice_steps=5, batch=2), lambda *_: None)
    assert float(weighted_loss(policy.model, examples).detach()) < before - 1


def test_same_seed_same_weights() -> None:
    a, b = new_policy(3).model, new_policy(3).model
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
