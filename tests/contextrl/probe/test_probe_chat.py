"""A chat endpoint whose accuracy and habit are planted: the probe finds exactly these."""

import threading

import pytest
from probe_toys import chat_answer, pair, server

from contextrl.probe.chat import ChatSelector, letter_margin
from contextrl.probe.options import ProbeOptions
from contextrl.probe.predictions import questions
from contextrl.probe.probe import probe
from contextrl.probe.selector import SelectorOptions
from contextrl.progress import Silent
from trajectories.endpoints import posting

PAIRS = [pair(i) for i in range(20)]


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(posting, "FIRST_WAIT_S", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def number_and_letter(body) -> tuple[int, str]:
    """Which pair is asked about, and the right letter: the good context is behind its gutter."""
    text = body["messages"][0]["content"]
    return int(text.partition("return ")[2].partition("\n")[0]), text.partition("| fix good")[0][-1]


def answers(url, pairs=PAIRS, **options):
    selector = ChatSelector(f"openai:{url}/v1#m", SelectorOptions(**options))
    try:
        return list(selector.answer(questions(pairs, "both", 0)))
    finally:
        selector.close()


@pytest.mark.parametrize("say", [lambda x: x, lambda x: f"<think>A? B? hm</think>\n**Answer: ({x})**"])
def test_a_planted_habit_is_found_exactly(tmp_path, say):
    """Of 20 pairs it knows 12, says A to 6 whatever is asked, and gives no answer to 2."""

    def respond(path, body):
        number, right = number_and_letter(body)
        return 200, chat_answer(say(right) if number < 12 else say("A") if number < 18 else "I cannot tell.")

    with server(respond) as (url, requests):
        result = run(tmp_path, f"openai:{url}/v1#m")
    (found,) = result.results
    assert found.accuracy.mean == pytest.approx((12 + 6 * 0.5 + 2 * 0.5) / 20)
    assert (found.accuracy.pairs, found.accuracy.functions) == (20, 10)
    assert found.accuracy_anchor_first == pytest.approx((12 + 6 + 1) / 20)
    assert found.accuracy_anchor_second == pytest.approx((12 + 0 + 1) / 20)
    assert found.order_bias == pytest.approx(0.3)
    assert found.says_a == pytest.approx((12 + 12) / 36)
    assert (found.by_margin, found.by_text, found.unreadable) == (0, 36, 4)
    assert len(requests) == 40


def run(tmp_path, *models, **options):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(p.model_dump_json() + "\n" for p in PAIRS))
    asked = ProbeOptions(models=models, sets=(str(path),), out=tmp_path / "out", store="", **options)
    return probe(asked, Silent())


def test_log_probabilities_are_compared_where_both_letters_are_given():
    def respond(path, body):
        number, right = number_and_letter(body)
        assert body["logprobs"] is True and body["top_logprobs"] == 20
        return 200, chat_answer("A", {"A": -0.5, "B": -0.5 + (number if right == "B" else -number), "C": -9.0})

    with server(respond) as (url, _):
        found = answers(url)
    assert {(c.margin, c.letter) for c in found} == {(float(i), None) for i in range(20)}


@pytest.mark.parametrize(
    ("top", "margin"),
    [
        ({"A": -0.1, "B": -2.1}, 2.0),
        ({" A": -0.1, "B": -2.1, "A": -0.6}, 2.0),
        ({"A": -0.1, "C": -2.1}, None),
        ({"<think>": -0.1, "A": -2.0, "B": -3.0}, None),
        ({}, None),
        (None, None),
    ],
)
def test_a_margin_needs_both_letters_and_one_of_them_first(top, margin):
    assert letter_margin(top, True) == (margin if margin is None else pytest.approx(margin))
    assert letter_margin(top, False) == (margin if margin is None else pytest.approx(-margin))


@pytest.mark.parametrize(("allowed", "widths"), [(5, {20, 5}), (0, {20, 5, None})])
def test_an_endpoint_that_gives_fewer_log_probabilities(allowed, widths):
    def respond(path, body):
        if body.get("top_logprobs", 0) > allowed:
            return 400, {"error": {"message": "top_logprobs is too large", "param": "top_logprobs"}}
        return 200, chat_answer(number_and_letter(body)[1])

    with server(respond) as (url, requests):
        found = answers(url, concurrency=1)
    assert all(c.letter for c in found) and not any(c.left_out for c in found)
    assert {r.get("top_logprobs") for r in requests} == widths
    assert len(requests) == 40 + len(widths) - 1


def test_a_prompt_that_is_too_long_is_left_out_and_the_rest_is_told():
    def respond(path, body):
        number, right = number_and_letter(body)
        if number == 3:
            return 400, {"error": {"message": "maximum context length is 8 tokens"}}
        return 200, chat_answer(right)

    with server(respond) as (url, _):
        found = answers(url)
    assert {c.question.pair.id for c in found if c.left_out} == {"p3"}
    assert sum(c.letter is not None for c in found) == 38


def test_contexts_are_cut_to_an_estimate():
    long = [pair(1, turns=60), pair(2, turns=1)]
    with server(lambda _, body: (200, chat_answer(number_and_letter(body)[1]))) as (url, requests):
        found = answers(url, long, max_tokens=300)
        whole = answers(url, long, max_tokens=300, cut=False)
    assert sorted((c.question.pair.id, bool(c.cut)) for c in found) == [("p1", True)] * 2 + [("p2", False)] * 2
    assert all(c.letter for c in found)
    assert max(len(r["messages"][0]["content"]) for r in requests) <= 4 * 301
    assert {c.question.pair.id for c in whole if c.left_out} == {"p1"}


def test_an_endpoint_that_goes_away_loses_nothing(tmp_path):
    lock, told = threading.Lock(), [0]

    def respond(path, body):
        with lock:
            told[0] += 1
            if told[0] > 10:
                return 401, {"error": {"message": "no credit: the maximum is spent"}}
        return 200, chat_answer(number_and_letter(body)[1])

    with server(respond) as (url, _):
        model = f"openai:{url}/v1#m"
        with pytest.raises(ValueError, match=r"status 401.*no credit"):
            run(tmp_path, model, selector=SelectorOptions(concurrency=4))
        kept = (tmp_path / "out/predictions.jsonl").read_text().count("\n")
        assert kept == 10
        assert not (tmp_path / "out/probe.json").exists()
        told[0] = -1000
        result = run(tmp_path, model, selector=SelectorOptions(concurrency=4))
    assert told[0] == -1000 + 30
    assert result.results[0].accuracy.mean == 1.0
