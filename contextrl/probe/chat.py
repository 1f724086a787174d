"""Any OpenAI-compatible chat endpoint: two log-probabilities where it gives them, else a letter read off its text.

Invariant: log-probabilities are compared only where the model is about to name a letter (its likeliest first token is
one) and both letters are among those that the endpoint gives; a model that thinks first is judged by what it concludes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from contextrl.choice import LETTERS, choice_text
from contextrl.probe.fitting import fitted, said
from contextrl.probe.letters import parse_letter
from contextrl.probe.predictions import KEPT_TEXT, Question
from contextrl.probe.remote import each, too_long
from contextrl.probe.selector import Choice, SelectorOptions
from trajectories.endpoints.endpoint import Endpoint, EndpointError, Reply, parse_endpoint
from trajectories.mining.cutting import CHARACTERS_PER_TOKEN
from trajectories.records import ContextPair

WIDTHS = (20, 5, 0)
"""How many likely tokens are asked for: as many as are allowed, what some servers allow, none."""


class ChatSelector:
    """`openai:http://HOST/v1#MODEL`; the key is in OPENAI_API_KEY."""

    def __init__(self, spec: str, options: SelectorOptions) -> None:
        self.name = spec
        self._endpoint = Endpoint(parse_endpoint(spec), concurrency=options.concurrency)
        self._options = options
        self._widths: tuple[int, ...] = WIDTHS

    def answer(self, questions: Sequence[Question]) -> Iterator[Choice]:
        """One request each."""
        yield from each(questions, self._ask, self._endpoint.concurrency, self.close)

    def close(self) -> None:
        """Close the connections."""
        self._endpoint.close()

    def _ask(self, question: Question) -> Choice:
        asked = self._fit(question)
        if asked is None:
            return Choice(question, left_out=f"longer than about {self._options.max_tokens:,} tokens")
        try:
            reply = self._reply(asked.text)
        except EndpointError as error:
            if reason := too_long(error):
                return Choice(question, left_out=reason)
            raise
        text, margin = reply.text[:KEPT_TEXT], letter_margin(reply.top_logprobs, question.anchor_first)
        letter = parse_letter(reply.text) if margin is None else None
        return Choice(question, margin=margin, letter=letter, text=text, cut=said(asked.pair))

    def _fit(self, question: Question) -> Question | None:
        """The question within --max-tokens. Tokens are estimated: the model's are not known here."""
        limit = self._options.max_tokens
        if limit is None or _length(question.pair) <= limit:
            return question
        shorter = fitted(question.pair, limit, _length, lambda text: len(text) // CHARACTERS_PER_TOKEN)
        return Question(shorter, question.anchor_first) if shorter and self._options.cut else None

    def _reply(self, text: str) -> Reply:
        """Asks for fewer log-probabilities where the endpoint refuses more; later questions then do so at once."""
        message = [{"role": "user", "content": text}]
        for width in self._widths:
            try:
                reply = self._endpoint.chat(
                    message,
                    max_tokens=self._options.reply_tokens,
                    logprobs=width > 0,
                    top_logprobs=width or None,
                )
            except EndpointError as error:
                if width and error.status in (400, 422) and "logprobs" in str(error):
                    continue
                raise
            self._widths = (width, *(w for w in self._widths if w < width))
            return reply
        raise AssertionError("the last width asks for nothing that can be refused so")


def _length(pair: ContextPair) -> int:
    """Estimated tokens of its prompt, alike in both letter orders."""
    return len(choice_text(pair, True)) // CHARACTERS_PER_TOKEN


def letter_margin(top: Mapping[str, float] | None, anchor_first: bool) -> float | None:
    """l+ - l- of the first token's candidates; None where it is no letter, or one of the letters is not given."""
    if not top or max(top, key=lambda token: top[token]).strip() not in LETTERS:
        return None
    values = {token.strip(): value for token, value in sorted(top.items(), key=lambda item: item[1])}
    if not all(letter in values for letter in LETTERS):
        return None
    margin = values["A"] - values["B"]
    return margin if anchor_first else -margin
