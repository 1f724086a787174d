"""A model is asked only what the rules cannot decide, in an order that tells nothing, and is not trusted blindly."""

import json
import re
import signal
import threading
import time

import pytest
from model_server import Bad, model_server
from test_judge import CLEAN, with_confounder

from trajectories.endpoints import posting
from trajectories.endpoints.endpoint import Budget, Endpoint, EndpointError, parse_endpoint
from trajectories.judging import judge_from
from trajectories.judging.language import LanguageJudge
from trajectories.judging.opinion import Opinion, read_opinion
from trajectories.judging.rules import RuleJudge

PAIRS = [
    CLEAN.model_copy(update={"answer": CLEAN.answer.replace("7", str(n)), "confounder_answer": f"return {n}0 - a\n"})
    for n in range(100, 120)
]


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(posting, "FIRST_WAIT_S", 0.01)


def anchor_place(body):
    """Where the anchor stands in a prompt, as the model names it."""
    first = re.search(r'<context number="1">.*?case (i\d)', body["messages"][1]["content"], re.DOTALL)
    return "1" if first[1] == "i1" else "2"


def reader(verdict="VALID", reasons=("the views differ",)):
    """A model that reads well."""
    return lambda body, _: json.dumps({"verdict": verdict, "supports": anchor_place(body), "reasons": list(reasons)})


def judge(url, **options):
    more = {k: options.pop(k) for k in ("cache", "budget") if k in options}
    return LanguageJudge(Endpoint(parse_endpoint(f"openai:{url}#m"), **more), **options)


def test_the_rules_come_first():
    spoiled = with_confounder(turns=CLEAN.confounder.turns[:3])
    with model_server(reader()) as (url, requests):
        found = judge(url).judge(spoiled)
    assert found == RuleJudge().judge(spoiled) and found[0] == "invalid"
    assert requests == []


def test_a_pair_that_reads_well_is_valid():
    with model_server(reader()) as (url, requests):
        assert judge(url).judge(CLEAN) == ("valid", ["model: the views differ"])
    system, user = (message["content"] for message in requests[0]["messages"])
    assert CLEAN.answer.strip() in user and "<PATCH_MASKED>" in system
    assert "anchor" not in (system + user).lower() and "$" not in user


def test_what_the_rules_cannot_know_the_model_may_decide():
    unknown = CLEAN.model_copy(update={"confounder_answer": ""})
    with model_server(reader()) as (url, _):
        judgement, reasons = judge(url).judge(unknown)
    assert judgement == "valid"
    assert [reason.partition(":")[0] for reason in reasons] == ["other_answer", "model"]


def test_the_order_is_drawn_and_stays():
    with model_server(reader()) as (url, requests):
        for _ in range(2):
            for pair in PAIRS:
                judge(url).judge(pair)
        for pair in PAIRS:
            judge(url, seed=1).judge(pair)
    places = [anchor_place(body) for body in requests]
    assert places[:20] == places[20:40] != places[40:]
    assert 4 < places[:20].count("1") < 16


@pytest.mark.parametrize("favourite", ["1", "2"])
def test_a_model_that_favours_a_place_makes_about_half_valid_and_none_by_consensus(favourite):
    def answer(body, _):
        return json.dumps({"verdict": "VALID", "supports": favourite})

    with model_server(answer) as (url, _):
        once = [judge(url).judge(pair) for pair in PAIRS]
        twice = [judge(url, both_orders=True).judge(pair) for pair in PAIRS]
    assert 4 < sum(judgement == "valid" for judgement, _ in once) < 16
    assert {judgement for judgement, _ in twice} == {"uncertain"}
    assert any("takes confounder for what supports" in reasons[0] for _, reasons in once)


def test_consensus_of_both_orders():
    with model_server(reader()) as (url, requests):
        assert judge(url, both_orders=True).judge(CLEAN)[0] == "valid"
    assert {anchor_place(body) for body in requests} == {"1", "2"}
    with model_server(reader("INVALID", ["both solve both"])) as (url, _):
        assert judge(url, both_orders=True).judge(CLEAN) == ("invalid", ["model: both solve both"])


def test_what_cannot_be_read_is_asked_again_once():
    with model_server(["Well...", '{"verdict": "INVALID", "reasons": "a leak"}']) as (url, requests):
        assert judge(url).judge(CLEAN) == ("invalid", ["model: a leak"])
    assert [m["role"] for m in requests[1]["messages"]] == ["system", "user", "assistant", "user"]
    with model_server(["Well...", "VALID or INVALID?"]) as (url, requests):
        judgement, reasons = judge(url).judge(CLEAN)
    assert (judgement, len(requests)) == ("uncertain", 2)
    assert "could not be read" in reasons[0]


OPINIONS = {
    '{"verdict": "VALID", "supports": 2, "reasons": ["a", "b"]}': Opinion("valid", "2", ("a", "b")),
    'Sure!\n```json\n{"verdict": "invalid", "supports": "context 1", "reasons": []}\n```': Opinion("invalid", "1", ()),
    '<think>{"verdict": "VALID"}</think> {"verdict": "INVALID", "reason": "x"}': Opinion("invalid", "", ("x",)),
    '{"a": {"verdict": 3}} so {"verdict": "UNCERTAIN"} {oops': Opinion("uncertain", "", ()),
    'so {{"verdict": "VALID", "reasons": ["x"]}}': Opinion("valid", "", ("x",)),
    "I say INVALID.": Opinion("invalid", "", ("I say INVALID.",)),
    "It is valid.": None,
    "VALID? No, INVALID!": None,
    '{"verdict": "MAYBE"}': None,
    "<think>VALID": None,
    "": None,
}


@pytest.mark.parametrize("said", OPINIONS)
def test_opinions(said):
    assert read_opinion(said) == OPINIONS[said]


def test_a_budget_leaves_the_rest_uncertain_and_goes_on_later(tmp_path):
    with model_server(reader()) as (url, requests):
        short = judge(url, cache=tmp_path, budget=Budget(max_requests=5)).judge_many(PAIRS)
        assert sum(judgement == "valid" for judgement, _ in short) == 5 == len(requests)
        assert all("the budget is used up" in reasons[-1] for judgement, reasons in short if judgement != "valid")
        rest = judge(url, cache=tmp_path).judge_many(PAIRS)
    assert all(judgement == "valid" for judgement, _ in rest)
    assert len(requests) == len(PAIRS)


def test_many_at_a_time_in_order():
    told = []
    with model_server(lambda body, n: reader("VALID" if "* 102" in str(body) else "INVALID")(body, n)) as (url, _):
        found = judge(url).judge_many(PAIRS, lambda place, judged: told.append(place))
    assert [judgement for judgement, _ in found].index("valid") == 2
    assert sorted(told) == list(range(len(PAIRS)))


def test_the_first_error_ends_it():
    with model_server(lambda *_: Bad(401, b"no")) as (url, requests), pytest.raises(EndpointError, match="401"):
        judge(url).judge_many(PAIRS * 5)
    assert len(requests) < 40


def test_ctrl_c_ends_it_without_more_attempts(monkeypatch):
    monkeypatch.setattr(posting, "FIRST_WAIT_S", 30.0)
    start, once = time.monotonic(), iter([True])

    def stop(place, judged):
        if next(once, None):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    def answer(body, number):
        return Bad(503, b"busy") if number % 2 else reader()(body, number)

    with model_server(answer) as (url, requests), pytest.raises(KeyboardInterrupt):
        judge(url).judge_many(PAIRS, stop)
    assert time.monotonic() - start < 10 and len(requests) < 20


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_pair_that_is_too_long_says_nothing_of_the_address(status):
    with model_server([Bad(status, b"too long")]) as (url, _):
        assert judge(url).judge(CLEAN)[0] == "uncertain"


def test_a_wrong_address_is_an_error_and_a_later_break_is_not():
    with model_server(lambda *_: Bad(404, b"no such model")) as (url, _), pytest.raises(EndpointError, match="404"):
        judge(url).judge(CLEAN)

    def breaks(body, n):
        return Bad(400, b"too long") if n == 1 else reader()(body, n) if n == 2 else Bad(401, b"key revoked")

    with model_server(breaks) as (url, _):
        one = judge(url)
        found = [one.judge(pair) for pair in PAIRS[:3]]
    assert [judgement for judgement, _ in found] == ["uncertain", "valid", "uncertain"]
    assert "status 400: too long" in found[0][1][0] and "status 401" in found[2][1][0]


def test_contexts_are_cut_to_the_room():
    view = CLEAN.anchor.turns[1].model_copy(update={"observation": "x " * 3000})
    long = [
        context.model_copy(update={"turns": [*context.turns[:2], *[view] * 9, *context.turns[2:]]})
        for context in (CLEAN.anchor, CLEAN.confounder)
    ]
    pair = CLEAN.model_copy(update={"anchor": long[0], "confounder": long[1]})
    with model_server(reader()) as (url, requests):
        assert judge(url, room=9000).judge(pair)[0] == "valid"
        judgement, reasons = judge(url, room=10).judge(pair)
    assert judgement == "uncertain" and "do not fit" in reasons[0]
    assert len(requests) == 1 and len(requests[0]["messages"][1]["content"]) < 45_000


def test_judges_by_name(tmp_path):
    assert isinstance(judge_from("rules"), RuleJudge)
    with model_server(reader()) as (url, requests):
        made = judge_from(f"openai:{url}#m", cache=tmp_path / "replies")
        assert (made.judge(CLEAN)[0], len(requests)) == ("valid", 1)
        assert judge_from(f"openai:{url}#m", both_orders=True).judge(CLEAN)[0] == "valid"
        assert len(requests) == 3
    assert list((tmp_path / "replies").rglob("*.json"))
    with pytest.raises(ValueError, match="names no judge"):
        judge_from("gpt")
