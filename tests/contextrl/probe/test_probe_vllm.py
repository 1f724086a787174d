"""A server that speaks as vLLM does: the same token ids as in process, and both letters' values."""

import pytest
import torch
from probe_toys import pair, server

from agents.policy import load_policy
from contextrl.probe.local import LocalSelector
from contextrl.probe.predictions import questions
from contextrl.probe.selector import ProbeError, SelectorOptions
from contextrl.probe.vllm import VllmSelector
from contextrl.start import policy_source
from trajectories.endpoints import posting

ASKED = questions([pair(i, turns=2 + i) for i in range(6)], "both", 0)
TINY = str(policy_source("tiny"))


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(posting, "FIRST_WAIT_S", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def vllm(model, *, root=TINY, longest=2048, letters=True, refuse=None):
    """What a server with this model answers. It may be asked from several threads; torch does not mind."""

    def respond(path, body):
        if path == "/v1/models":
            return 200, {"data": [{"id": "m", "root": root, "max_model_len": longest}]}
        if refuse and refuse(body):
            return refuse(body)
        with torch.inference_mode():
            logprobs = model(torch.tensor([body["prompt"]])).logits[0, -1].log_softmax(-1)
        best = int(logprobs.argmax())
        asked = [best, *body["logprob_token_ids"]] if letters else [best]
        top = {f"token_id:{i}": float(logprobs[i]) for i in asked}
        return 200, {"choices": [{"text": "x", "finish_reason": "length", "logprobs": {"top_logprobs": [top]}}]}

    return respond


@pytest.fixture(scope="module")
def model():
    return load_policy(TINY).model.eval()


def answers(url, **options):
    selector = VllmSelector(f"vllm:{url}#m", SelectorOptions(**options))
    found = {(c.question.pair.id, c.question.anchor_first): c for c in selector.answer(ASKED)}
    selector.close()
    return found


def test_margins_and_token_ids_are_those_in_process(model):
    local = LocalSelector("tiny", SelectorOptions(device="cpu"))
    expected = {(c.question.pair.id, c.question.anchor_first): c.margin for c in local.answer(ASKED)}
    with server(vllm(model)) as (url, requests):
        found = answers(url)
    assert {key: c.margin for key, c in found.items()} == pytest.approx(expected, abs=1e-4)
    prompts = {tuple(a.prompt.ids) for a in local._prompts.of(ASKED)[0]}
    assert {tuple(r["prompt"]) for r in requests} == prompts and len(prompts) == 12
    assert {r["max_tokens"] for r in requests} == {1}
    assert all(r["logprob_token_ids"] == list(local._prompts.letters) for r in requests)


def test_one_token_of_the_servers_context_is_for_the_answer(model):
    longest = max(len(a.prompt.ids) for a in LocalSelector("tiny", SelectorOptions(device="cpu"))._prompts.of(ASKED)[0])
    with server(vllm(model, longest=longest + 1)) as (url, _):
        assert not any(c.cut or c.left_out for c in answers(url).values())
    with server(vllm(model, longest=longest)) as (url, requests):
        found = answers(url)
    assert any(c.cut for c in found.values())
    assert all(len(r["prompt"]) < longest for r in requests)


def test_a_prompt_that_the_server_finds_too_long_is_left_out(model):
    longest = max(len(a.prompt.ids) for a in LocalSelector("tiny", SelectorOptions(device="cpu"))._prompts.of(ASKED)[0])

    def refuse(body):
        if len(body["prompt"]) == longest:
            return 400, {"error": {"message": "This model's maximum context length is 8 tokens.", "code": 400}}

    with server(vllm(model, refuse=refuse)) as (url, requests):
        found = answers(url)
    refused = sum(len(r["prompt"]) == longest for r in requests)
    assert 0 < refused < 12
    assert sum("status 400" in c.left_out for c in found.values()) == refused
    assert sum(c.margin is not None for c in found.values()) == 12 - refused


def test_another_refusal_is_an_error(model):
    refusing = vllm(model, refuse=lambda _: (400, {"error": {"message": "no such field"}}))
    with server(refusing) as (url, _), pytest.raises(ValueError, match=r"status 400.*no such field"):
        answers(url)


def test_an_old_server_that_ignores_the_letters(model):
    with server(vllm(model, letters=False)) as (url, _), pytest.raises(ProbeError, match="logprob_token_ids"):
        answers(url)


def test_what_is_wrong_with_a_server_is_said(model):
    with server(vllm(model, root="/nowhere/at/all")) as (url, _):
        with pytest.raises(ProbeError, match=r"tokenizer cannot be loaded from /nowhere/at/all .* --tokenizer FOLDER"):
            answers(url)
        assert len(answers(url, tokenizer=TINY)) == 12
        with pytest.raises(ProbeError, match="serves no model 'other'; it serves m"):
            VllmSelector(f"vllm:{url}/v1#other", SelectorOptions())
    with pytest.raises(ProbeError, match="cannot be asked"):
        answers(url)
    with server(lambda *_: (200, {"data": [{"id": "m"}]})) as (url, _), pytest.raises(ProbeError, match="is no vLLM"):
        answers(url)
    with server(lambda *_: (200, ["hello"])) as (url, _), pytest.raises(ProbeError, match="does not answer as vLLM"):
        answers(url)
    with server(lambda *_: (401, {})) as (url, _), pytest.raises(ProbeError, match=r"cannot be asked .*401"):
        answers(url)
