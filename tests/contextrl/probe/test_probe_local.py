"""A model in this process gives the margins of training and evaluation, whatever the batches."""

import json
import shutil

import pytest
import torch
from learning_toys import byte_tokenizer
from probe_toys import pair

from agents.policy import load_policy
from agents.tiny.tokenizer import build_tokenizer
from contextrl.choice import CHOICE_PHRASES, ChoiceFormat
from contextrl.objectives.pairs import select
from contextrl.probe.local import LocalSelector, find_device, find_dtype
from contextrl.probe.predictions import questions
from contextrl.probe.prompts import Prompts
from contextrl.probe.selector import Choice, ProbeError, SelectorOptions, find_factory, open_selector
from contextrl.scoring import Scorer
from contextrl.start import policy_source

PAIRS = [pair(i, turns=2 + i % 4) for i in range(10)]
ASKED = questions(PAIRS, "both", 0)


def margins(**options):
    selector = LocalSelector("tiny", SelectorOptions(device="cpu", **options))
    found = {(c.question.pair.id, c.question.anchor_first): c.margin for c in selector.answer(ASKED)}
    selector.close()
    return found


def test_margins_are_those_of_the_evaluation():
    policy = load_policy(policy_source("tiny"))
    prompts = ChoiceFormat(policy.tokenizer, 2048).both_orders(PAIRS)
    expected = {(r.pair_id, r.anchor_first): r.margin for r in select(Scorer(policy.model), prompts, 2048)}
    assert margins() == pytest.approx(expected, abs=1e-5)
    assert margins(batch_tokens=1) == pytest.approx(expected, abs=1e-4)
    assert len(expected) == 20


def test_the_longest_come_first_and_both_orders_together():
    selector = LocalSelector("tiny", SelectorOptions(device="cpu", batch_tokens=1))
    found = [c.question for c in selector.answer(ASKED)]
    lengths = [len(q.text) for q in found]
    assert lengths == sorted(lengths, reverse=True)
    assert all(a.pair is b.pair for a, b in zip(found[::2], found[1::2], strict=True))


def test_a_pair_that_is_too_long_is_cut_alike_in_both_orders_or_left_out():
    tokenizer = build_tokenizer(CHOICE_PHRASES)
    long, short = pair(0, turns=30), pair(1, turns=1)
    asked = questions([long, short], "both", 0)
    limit = 600
    made, left_out = Prompts(tokenizer, limit, cut=True).of(asked)
    assert not left_out and len(made) == 4
    assert all(len(a.prompt.ids) <= limit for a in made)
    assert [bool(a.cut) for a in made] == [True, True, False, False]
    assert made[0].cut == made[1].cut and "of 31 turns" in made[0].cut
    assert sum("left out" in line for line in tokenizer.decode(made[0].prompt.ids).splitlines()) == 2
    made, left_out = Prompts(tokenizer, limit, cut=False).of(asked)
    assert [a.question.pair.id for a in made] == ["p1", "p1"]
    assert [c.left_out for c in left_out] == ["longer than 600 tokens"] * 2
    made, left_out = Prompts(tokenizer, 20, cut=True).of(asked)
    assert not made and [c.left_out for c in left_out] == ["longer than 20 tokens, also when cut"] * 4


def test_a_pair_that_fits_is_not_cut():
    tokenizer = build_tokenizer(CHOICE_PHRASES)
    longest = max(len(ChoiceFormat(tokenizer, 9999).prompt(PAIRS[3], first).ids) for first in (True, False))
    exact, _ = Prompts(tokenizer, longest, cut=True).of(questions(PAIRS[3:4], "both", 0))
    assert [a.cut for a in exact] == ["", ""]
    less, _ = Prompts(tokenizer, longest - 1, cut=True).of(questions(PAIRS[3:4], "both", 0))
    assert all(a.cut for a in less)


def test_a_margin_that_is_no_number_is_refused():
    selector = LocalSelector("tiny", SelectorOptions(device="cpu"))
    with torch.no_grad():
        selector._scorer.model.base_model.norm.weight.fill_(float("nan"))
    with pytest.raises(ProbeError, match=r"margin of pair p\d is nan"):
        list(selector.answer(ASKED[:2]))


def test_memory_that_is_short_is_told(monkeypatch):
    selector = LocalSelector("tiny", SelectorOptions(device="cpu"))

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(selector._scorer, "next_logits", full)
    with pytest.raises(ProbeError, match="do not fit into the memory of cpu; give smaller --batch-tokens"):
        list(selector.answer(ASKED[:2]))


@pytest.mark.parametrize("name", ["cuda:97", "no such device", "xpu"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(ProbeError, match=f"--device {name}: torch"):
        find_device(name)


def test_a_dtype_for_a_device():
    assert find_dtype("auto", torch.device("cpu")) == torch.float32
    assert find_dtype("auto", torch.device("cuda")) == torch.bfloat16
    assert find_dtype("float16", torch.device("cuda")) == torch.float16


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(policy_source("tiny"), tmp_path / "policy")


def test_a_folder_without_a_chat_template(folder):
    for name in folder.glob("chat_template*"):
        name.unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="no chat template"):
        LocalSelector(str(folder), SelectorOptions(device="cpu"))


def test_letters_that_are_no_single_tokens():
    tokenizer = byte_tokenizer()
    tokenizer.encode = lambda text, add_special_tokens: list(text.encode("utf-16-le"))
    with pytest.raises(ValueError, match='does not make "A" one token'):
        Prompts(tokenizer, 100, cut=True)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("", "no model is named"),
        ("ftp://x#m", "no scheme 'ftp'"),
        ("vllm:localhost#m", "write vllm:http"),
        ("vllm:http://localhost:1", "write vllm:http"),
        ("vllm:http://me:secret@localhost#m", "must not hold a password"),
        ("openai:http://localhost/v1", "names no model"),
        ("replay:nowhere.jsonl", "no file nowhere.jsonl"),
        ("/nowhere/at/all", "no such folder"),
    ],
)
def test_models_that_are_none(spec, problem):
    with pytest.raises(ValueError, match=problem) as raised:
        open_selector(spec, SelectorOptions())
    assert "secret" not in str(raised.value)


class Mine:
    name = "mine"

    def __init__(self, spec, options):
        self.spec = spec

    def answer(self, asked):
        yield from (Choice(q, margin=1.0) for q in asked)

    def close(self):
        pass


def test_a_package_brings_its_own_scheme(monkeypatch):
    class Point:
        name = "mine"

        def load(self):
            return Mine

    monkeypatch.setattr(
        "contextrl.probe.selector.entry_points", lambda group: [Point()] if "selectors" in group else []
    )
    assert open_selector("mine:x", SelectorOptions()).spec == "mine:x"
    with pytest.raises(ProbeError, match="replay:, mine:"):
        find_factory("yours:x")
