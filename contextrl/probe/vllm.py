"""A vLLM server: the log-probabilities of the two letters after the exact token ids of the prompt.

Invariant: both letters' values are the model's own over the whole vocabulary, whether or not they are among the likely
ones: the field `logprob_token_ids` asks for these two. Log-probabilities of one distribution differ by what the logits
differ by, so margins are those of a model in this process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from contextrl.probe.predictions import Question
from contextrl.probe.prompts import Asked, Prompts, chunks
from contextrl.probe.remote import each, too_long
from contextrl.probe.selector import Choice, ProbeError, SelectorOptions
from trajectories.endpoints.endpoint import Endpoint, EndpointAddress, EndpointError

FORM = "write vllm:http://HOST:PORT#MODEL"


class Served(NamedTuple):
    """What the server says of its model."""

    root: str
    """Folder or hub name that it was loaded from."""
    max_model_len: int


class VllmSelector:
    """`vllm:http://HOST:PORT#MODEL`. The tokenizer is loaded here, from where the server has it or from options."""

    def __init__(self, spec: str, options: SelectorOptions) -> None:
        self.name = spec
        address = _address(spec)
        served = _served(address)
        tokenizer = _tokenizer(spec, options.tokenizer or served.root)
        longest = served.max_model_len - 1  # it has to sample one token
        self._prompts = Prompts(tokenizer, min(options.max_tokens or longest, longest), cut=options.cut)
        self._endpoint = Endpoint(address, concurrency=options.concurrency)

    def answer(self, questions: Sequence[Question]) -> Iterator[Choice]:
        """One request each."""
        for chunk in chunks(questions):
            asked, left_out = self._prompts.of(chunk)
            yield from left_out
            yield from each(asked, self._ask, self._endpoint.concurrency, self.close)

    def close(self) -> None:
        """Close the connections."""
        self._endpoint.close()

    def _ask(self, asked: Asked) -> Choice:
        exactly = {"logprob_token_ids": list(self._prompts.letters), "return_tokens_as_token_ids": True}
        try:
            reply = self._endpoint.complete(list(asked.prompt.ids), max_tokens=1, top_logprobs=1, extra=exactly)
        except EndpointError as error:
            if reason := too_long(error):
                return Choice(asked.question, left_out=reason)
            raise
        top = reply.top_logprobs or {}
        names = [f"token_id:{letter}" for letter in (asked.prompt.anchor_letter, asked.prompt.confounder_letter)]
        if not all(name in top for name in names):
            raise ProbeError(
                f"{self.name} does not give the log-probabilities of both letters: it takes a vLLM that knows "
                "`logprob_token_ids` (0.32 does); with another, use openai:"
            )
        return asked.choice(top[names[0]] - top[names[1]])


def _address(spec: str) -> EndpointAddress:
    """Raises `ProbeError`."""
    url, hash_, model = spec.removeprefix("vllm:").partition("#")
    url = url.rstrip("/").removesuffix("/v1")
    if not url.startswith(("http://", "https://")) or not hash_ or not model:
        raise ProbeError(f"--model {spec} does not say where and which: {FORM}")
    if "@" in url:
        raise ProbeError("the URL of a server must not hold a password: the key comes from OPENAI_API_KEY")
    return EndpointAddress(f"{url}/v1", model)


def _served(address: EndpointAddress) -> Served:
    import httpx2

    key = os.environ.get("OPENAI_API_KEY", "").strip()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        response = httpx2.get(f"{address.url}/models", headers=headers, timeout=15.0)
        response.raise_for_status()
        models: dict[str, Any] = {str(model["id"]): model for model in response.json()["data"]}
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise ProbeError(f"the server {address.url} cannot be asked ({error}): is it up?") from None
    except (ValueError, LookupError, TypeError):
        raise ProbeError(f"{address.url}/models does not answer as vLLM does: use openai:") from None
    if address.model not in models:
        raise ProbeError(f"{address.url} serves no model {address.model!r}; it serves {', '.join(sorted(models))}")
    found = models[address.model]
    try:
        return Served(str(found.get("root") or address.model), int(found["max_model_len"]))
    except (LookupError, TypeError, ValueError):
        raise ProbeError(f"{address.url} is no vLLM: it tells no max_model_len; use openai:") from None


def _tokenizer(spec: str, source: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(os.path.expanduser(source))
    except Exception as error:  # it raises OSError, ValueError, KeyError, ... for the same thing
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
        raise ProbeError(
            f"--model {spec}: its tokenizer cannot be loaded from {source} ({reason}): give --tokenizer FOLDER"
        ) from None
