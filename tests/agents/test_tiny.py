"""The tiny policy: a lossless tokenizer, heads that copy, and a demonstrator that reads."""

from __future__ import annotations

import random

import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.tiny.architecture import build_model
from agents.tiny.demonstrator import PERFECT, Habits, demonstrate
from agents.tiny.tokenizer import build_tokenizer
from agents.toolformat import FORMATS, detect
from envs.generated.grammar import random_module
from envs.generated.repository import document, document_path, source_path
from envs.generated.variants import problem_statement
from envs.task import TaskInstance
from envs.tools import Action

TOKENIZER = build_tokenizer(("Which?\n",))


@given(st.text(max_size=60))
def test_tokenizer_is_lossless(text: str) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    assert TOKENIZER.decode(ids) == text or any(s in text for s in TOKENIZER.all_special_tokens)


def test_a_name_is_the_same_token_wherever_it_stands() -> None:
    module = random_module(random.Random(0), "kavo", 3)
    f = module.functions[0]
    name = TOKENIZER.convert_tokens_to_ids(f.name)
    for text in (module.source(), document(module), problem_statement("kavo", f, (3, 7, 1, 2))):
        assert name in TOKENIZER.encode(text, add_special_tokens=False)
    edit = FORMATS["xml"].render(Action("edit", {"path": source_path("kavo"), "new": f.source().rstrip("\n")}))
    assert len(TOKENIZER.encode(edit, add_special_tokens=False)) < 25
    assert detect(str(TOKENIZER.chat_template)) == "xml"


def test_untrained_weights_copy() -> None:
    """Random strings, repeated: the induction heads that are written into the weights predict the copy."""
    torch.manual_seed(0)
    model = build_model(len(TOKENIZER), TOKENIZER.eos_token_id, TOKENIZER.pad_token_id, seed=0)
    half = torch.randint(300, len(TOKENIZER), (16, 24))
    ids = torch.cat([half, half], dim=1)
    with torch.no_grad():
        predicted = model(ids).logits.argmax(-1)
    assert (predicted[:, 24:-1] == ids[:, 25:]).float().mean() > 0.4


def _episode(habits: Habits, seed: int) -> tuple[list[Action], str]:
    module = random_module(random.Random(seed), "kavo", 3)
    f = module.functions[1]
    files = {document_path("kavo"): document(module), source_path("kavo"): module.source()}
    task = TaskInstance(
        instance_id="i", repo="r", base_commit="c", problem_statement=problem_statement("kavo", f, (3, 7, 1, 2)),
        patch="", FAIL_TO_PASS=("a",), PASS_TO_PASS=("b",),
    )  # fmt: skip
    script, actions = demonstrate(task, random.Random(seed), habits), []
    action: Action | None = next(script)
    while action is not None:
        actions.append(action)
        try:
            action = script.send(files.get(action.arguments.get("path", ""), "1 failed\nFAILED x"))
        except StopIteration:
            action = None
    return actions, f.source().rstrip("\n")


def test_the_perfect_demonstrator_writes_what_it_read() -> None:
    for seed in range(20):
        actions, right = _episode(PERFECT, seed)
        assert [a.name for a in actions] == ["view", "view", "edit", "submit"]
        assert actions[2].arguments["new"] == right


def test_the_demonstrator_errs_as_often_as_it_is_told() -> None:
    habits = Habits(skip_document=0.5, wrong=0.0, run_tests=0.0)
    skipped = sum(sum(a.name == "view" for a in _episode(habits, seed)[0]) == 1 for seed in range(200))
    assert 70 < skipped < 130
    wrong = Habits(skip_document=0.0, wrong=1.0, run_tests=0.0)
    assert all(a[2].arguments["new"] != right for a, right in (_episode(wrong, seed) for seed in range(20)))
