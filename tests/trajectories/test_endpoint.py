"""An endpoint that misbehaves is asked again or told off in one sentence; what it answered is kept."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from model_server import Bad, chat_answer, model_server

from trajectories.endpoints import posting
from trajectories.endpoints.endpoint import Budget, BudgetExhausted, Endpoint, EndpointError, parse_endpoint
from trajectories.endpoints.posting import EndpointDown

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(posting, "FIRST_WAIT_S", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def endpoint(url, **options):
    return Endpoint(parse_endpoint(f"openai:{url}#m"), **options)


def ask_all(model, asked, **options):
    """More threads than the endpoint lets through at a time."""
    with ThreadPoolExecutor(2 * model.concurrency) as pool:
        return list(pool.map(lambda messages: model.chat(messages, **options), asked))


def test_addresses(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    there = parse_endpoint("openai:http://localhost:8000/v1/#org/model:tag#2")
    assert (there.url, there.model) == ("http://localhost:8000/v1", "org/model:tag#2")
    assert parse_endpoint(str(there)) == there
    assert parse_endpoint("openai:#m").url == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://proxy/v2/")
    assert parse_endpoint("openai:#m").url == "http://proxy/v2"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("http://h/v1#m", "names no endpoint"),
        ("openai", "names no endpoint"),
        ("openai:http://h/v1", "names no model"),
        ("openai:http://h/v1#", "names no model"),
        ("openai:ftp://h#m", "must start with http"),
        ("openai:http://me:secret@h/v1#m", "must not hold a password"),
    ],
)
def test_what_is_no_address_is_said(text, problem):
    with pytest.raises(ValueError, match=problem) as raised:
        parse_endpoint(text)
    assert "secret" not in str(raised.value)


def test_a_chat_with_candidates_of_the_first_token(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", " sk-1234 \n")
    with model_server([chat_answer("A", {"A": -0.1, "B": -2.5})]) as (url, requests), endpoint(url) as model:
        reply = model.chat(HELLO, max_tokens=1, top_logprobs=5, extra={"temperature": None, "seed": 7})
    assert (reply.text, reply.finish_reason, reply.cached) == ("A", "stop", False)
    assert (reply.prompt_tokens, reply.completion_tokens) == (10, 2)
    assert reply.top_logprobs == {"A": -0.1, "B": -2.5}
    assert requests == [
        {
            "model": "m",
            "messages": HELLO,
            "max_tokens": 1,
            "logprobs": True,
            "top_logprobs": 5,
            "seed": 7,
            "path": "/v1/chat/completions",
            "key": "Bearer sk-1234",
        }
    ]


def test_completions_take_token_ids():
    said = {"choices": [{"text": " A", "finish_reason": "length", "logprobs": {"top_logprobs": [{" A": -0.5}]}}]}
    with model_server([said]) as (url, requests), endpoint(url) as model:
        reply = model.complete([1, 2, 3], max_tokens=1, logprobs=True)
    assert (reply.text, reply.top_logprobs) == (" A", {" A": -0.5})
    assert (requests[0]["path"], requests[0]["prompt"], requests[0]["logprobs"]) == ("/v1/completions", [1, 2, 3], 1)
    assert "key" in requests[0] and requests[0]["key"] == ""


def test_vectors_come_in_the_order_of_the_texts():
    def answer(body, _):
        return {"data": [{"index": i, "embedding": [len(t)]} for i, t in enumerate(body["input"])][::-1]}

    texts = ["x" * n for n in range(300)]
    with model_server(answer) as (url, requests), endpoint(url) as model:
        assert model.embed(texts) == [[float(n)] for n in range(300)]
    assert len(requests) == 3


TRANSIENT = {
    "busy": Bad(429, b"{}", {"Retry-After": "0"}),
    "broken": Bad(500, b"oops"),
    "dropped": Bad(drop=True),
    "slow": Bad(body=b"{}", wait_s=0.6),
    "no json": Bad(body=b"<html>starting</html>"),
    "truncated": Bad(body=b'{"choices": [', promise=500),
}


@pytest.mark.parametrize("kind", TRANSIENT)
def test_what_passes_is_asked_again(kind):
    with model_server([TRANSIENT[kind], "at last"]) as (url, requests), endpoint(url, timeout_s=0.3) as model:
        assert model.chat(HELLO, max_tokens=5).text == "at last"
    assert len(requests) == 2


@pytest.mark.parametrize("kind", TRANSIENT)
def test_what_does_not_pass_is_one_sentence(kind):
    def always(body, _):
        return TRANSIENT[kind]

    with model_server(always) as (url, requests), endpoint(url, timeout_s=0.3, retries=1) as model:
        with pytest.raises(EndpointDown) as raised:
            model.chat(HELLO, max_tokens=5)
        assert url in str(raised.value) and "(2 attempts)" in str(raised.value)
        assert "\n" not in str(raised.value)
    assert len(requests) == 2


@pytest.mark.parametrize("header", ["1", "date"])
def test_retry_after_is_heeded(header):
    value = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 2)) if header == "date" else header
    with model_server([Bad(429, b"", {"Retry-After": value}), "ok"]) as (url, _), endpoint(url) as model:
        start = time.monotonic()
        model.chat(HELLO, max_tokens=5)
        assert 0.9 < time.monotonic() - start < 4


@pytest.mark.parametrize("status", [301, 400, 401, 404, 422])
def test_other_refusals_are_told_at_once_without_the_key(status, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    said = json.dumps({"error": {"message": "wrong key sk-very-secret\n" + "x" * 900}}).encode()
    with (
        model_server([Bad(status, said)]) as (url, requests),
        endpoint(url) as model,
        pytest.raises(EndpointError, match=f"status {status}") as raised,
    ):
        model.chat(HELLO, max_tokens=5)
    assert "secret" not in str(raised.value) and len(str(raised.value)) < 400
    assert not isinstance(raised.value, EndpointDown)
    assert raised.value.__cause__ is None
    assert len(requests) == 1


def test_a_key_that_cannot_be_sent_is_not_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very\nsecret")
    with (
        model_server([]) as (url, _),
        endpoint(url) as model,
        pytest.raises(EndpointError, match="OPENAI_API_KEY") as raised,
    ):
        model.chat(HELLO, max_tokens=5)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("said", [{}, {"choices": []}, {"choices": [{}]}, [], {"choices": [{"message": None}]}])
def test_an_answer_of_another_form_is_told(said):
    with (
        model_server([said]) as (url, _),
        endpoint(url) as model,
        pytest.raises(EndpointError, match="OpenAI's protocol"),
    ):
        model.chat(HELLO, max_tokens=5)


def test_an_answer_of_another_form_is_not_kept(tmp_path):
    asked = [
        [],
        {"data": [{"index": 1, "embedding": [2]}]},
        {"data": [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}]},
    ]
    with model_server([{"choices": []}, "ok", *asked]) as (url, requests), endpoint(url, cache=tmp_path) as model:
        with pytest.raises(EndpointError):
            model.chat(HELLO, max_tokens=5)
        assert model.chat(HELLO, max_tokens=5).text == "ok"
        for problem in ("without data", "1 vectors for 2 texts"):
            with pytest.raises(EndpointError, match=problem):
                model.embed(["a", "b"])
        assert model.embed(["a", "b"]) == model.embed(["a", "b"]) == [[1.0], [2.0]]
    assert len(requests) == 5


def test_an_error_with_status_200_is_an_error():
    with (
        model_server([{"error": {"message": "no such model"}}]) as (url, _),
        endpoint(url) as model,
        pytest.raises(EndpointError, match="no such model"),
    ):
        model.chat(HELLO, max_tokens=5)


def test_a_field_that_a_model_refuses_is_put_otherwise():
    def answer(body, _):
        for field in ("max_tokens", "temperature"):
            if field in body:
                error = {"message": f"Unsupported parameter: '{field}'", "param": field}
                return Bad(400, json.dumps({"error": error}).encode())
        return "ok"

    with model_server(answer) as (url, requests), endpoint(url, retries=0) as model:
        assert model.chat(HELLO, max_tokens=5).text == "ok"
        assert model.chat([*HELLO, *HELLO], max_tokens=5).text == "ok"
    assert len(requests) == 4
    assert requests[-1]["max_completion_tokens"] == 5 and "temperature" not in requests[-1]


@pytest.mark.parametrize(
    "error", [{"message": "Unsupported", "param": "seed"}, {"message": "too big", "param": "max_tokens"}, {}, 3]
)
def test_what_is_refused_for_another_reason_is_not_put_otherwise(error):
    with (
        model_server([Bad(400, json.dumps({"error": error}).encode())]) as (url, requests),
        endpoint(url, retries=0) as model,
        pytest.raises(EndpointError, match="status 400"),
    ):
        model.chat(HELLO, max_tokens=5)
    assert len(requests) == 1


def test_each_wait_is_twice_as_long(monkeypatch):
    monkeypatch.setattr(posting.random, "uniform", lambda low, high: (low + high) / 2)
    monkeypatch.setattr(posting, "FIRST_WAIT_S", 10.0)
    waits = []
    with model_server(lambda *_: Bad(500)) as (url, _), endpoint(url) as model:
        monkeypatch.setattr(model._poster._given_up, "wait", waits.append)
        with pytest.raises(EndpointDown):
            model.chat(HELLO, max_tokens=5)
    assert waits == [10, 20, 40, 60]


def test_a_closed_endpoint_does_not_ask_again(monkeypatch):
    monkeypatch.setattr(posting, "FIRST_WAIT_S", 60.0)
    with model_server(lambda *_: Bad(500)) as (url, requests), endpoint(url) as model:
        threading.Timer(0.5, model.close).start()
        start = time.monotonic()
        with pytest.raises(EndpointError, match="not asked again: the work was stopped"):
            model.chat(HELLO, max_tokens=5)
    assert time.monotonic() - start < 20 and len(requests) == 1


def test_nobody_there():
    with model_server([]) as (url, _):
        pass
    with endpoint(url, retries=0) as model, pytest.raises(EndpointError, match="cannot be reached"):
        model.chat(HELLO, max_tokens=5)


def test_the_cache_answers_without_a_network_or_a_budget(tmp_path):
    with model_server(["one", "two"]) as (url, _), endpoint(url, cache=tmp_path / "c") as model:
        assert model.chat(HELLO, max_tokens=5).text == "one"
        assert model.chat(HELLO, max_tokens=6).text == "two"
    with endpoint(url, cache=tmp_path / "c", budget=Budget(max_requests=0)) as model:
        again = model.chat(HELLO, max_tokens=5)
        assert (again.text, again.cached) == ("one", True)
        assert model.chat(HELLO, max_tokens=6).text == "two"
        with pytest.raises(BudgetExhausted):
            model.chat(HELLO, max_tokens=7)


def test_failures_and_spoiled_files_are_not_cached(tmp_path):
    with model_server([Bad(400, b"no"), "yes", "again"]) as (url, _), endpoint(url, cache=tmp_path) as model:
        with pytest.raises(EndpointError):
            model.chat(HELLO, max_tokens=5)
        assert model.chat(HELLO, max_tokens=5).text == "yes"
        (file,) = tmp_path.rglob("*.json")
        file.write_bytes(file.read_bytes()[:10])
        assert model.chat(HELLO, max_tokens=5).text == "again"
    assert "sk-" not in file.read_text() and "hello" not in file.read_text()


def test_a_kill_leaves_whole_files_only(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom trajectories.endpoints.replies import ReplyCache\n"
        "cache = ReplyCache(Path(sys.argv[1]))\nprint('on', flush=True)\n"
        "for i in range(10**9): cache.put(f'{i % 50:064}', {'big': 'x' * 300_000, 'i': i})\n"
    )
    many = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) for _ in range(2)]
    for one in many:
        one.stdout.readline()
    time.sleep(0.5)
    for one in many:
        os.kill(one.pid, signal.SIGKILL)
        one.wait()
        one.stdout.close()
    files = list(tmp_path.rglob("*.json"))
    assert files
    assert all(len(json.loads(file.read_text())["big"]) == 300_000 for file in files)


def test_many_at_once_in_order_and_not_too_many():
    now, most, lock = [0], [0], threading.Lock()

    def answer(body, _):
        return Bad(body=json.dumps(chat_answer(body["messages"][0]["content"])).encode(), wait_s=0.02)

    asked = [[{"role": "user", "content": str(n)}] for n in range(40)]
    with model_server(answer) as (url, _), endpoint(url, concurrency=8) as model:
        once = model._poster.post

        def counted(*arguments):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            try:
                return once(*arguments)
            finally:
                with lock:
                    now[0] -= 1

        model._poster.post = counted
        replies = ask_all(model, asked, max_tokens=5)
    assert [reply.text for reply in replies] == [str(n) for n in range(40)]
    assert 2 <= most[0] <= 8


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({"max_requests": 5}, 5),
        ({"max_tokens": 5 * 12 + 8}, 5),
        ({"max_dollars": 0.000061, "prompt_price": 1.0, "completion_price": 1.0}, 5),
    ],
)
def test_a_budget_is_kept_also_by_many_at_once(limits, most, concurrency, tmp_path):
    asked = [[{"role": "user", "content": f"{n:036}"}] for n in range(30)]
    budget = Budget(**limits)
    with (
        model_server(lambda *_: "ok") as (url, requests),
        endpoint(url, budget=budget, cache=tmp_path, concurrency=concurrency) as model,
        pytest.raises(BudgetExhausted, match="used up"),
    ):
        ask_all(model, asked, max_tokens=2)
    assert len(requests) == budget.requests == most
    assert budget.tokens == 12 * most
    assert len(list(tmp_path.rglob("*.json"))) == most


def test_what_others_hold_is_waited_for():
    """Not given up: what is under way may cost less than it was thought to."""
    budget, told = Budget(max_tokens=100), []
    budget.hold(60, 30)
    waiting = threading.Thread(target=lambda: told.append(budget.hold(30, 30)))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive() and budget.requests == 1
    budget.settle(60, 30, (20, 10))
    waiting.join(5)
    assert told == [None] and (budget.requests, budget.tokens) == (2, 30)
    budget.settle(30, 30)
    with pytest.raises(BudgetExhausted, match="30 of 100 tokens are spent, and the next request may need 80"):
        budget.hold(40, 40)


def test_attempts_count_as_requests():
    with (
        model_server(lambda *_: Bad(500)) as (url, requests),
        endpoint(url, budget=Budget(max_requests=3)) as model,
        pytest.raises(BudgetExhausted),
    ):
        model.chat(HELLO, max_tokens=5)
    assert len(requests) == 3


def test_a_budget_in_dollars_needs_prices():
    with pytest.raises(ValueError, match="prices"):
        Budget(max_dollars=1)
    with pytest.raises(ValueError, match="at least 0"):
        Budget(max_tokens=-1)


def test_an_endpoint_that_does_not_count_tokens_is_counted_for():
    budget = Budget(max_tokens=1000)
    with model_server([chat_answer("x" * 400, usage=None)]) as (url, _), endpoint(url, budget=budget) as model:
        model.chat([{"role": "user", "content": "x" * 800}], max_tokens=200)
    assert 250 < budget.tokens < 400
