"""What the tiny policy is warm-started on: token sequences with a weight for each token.

Invariant: every sequence is a recorded episode (or cut out of one), renamed: names and numbers are permuted the same
way throughout a sequence, so that no name ever means anything and what is right can only be read off the context.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from agents.tiny.tokenizer import ASSISTANT, END, QUOTE, USER
from contextrl.choice import ChoiceFormat
from envs.generated.names import IDENTIFIERS
from envs.generated.repository import module_from_source
from trajectories.mining.masking import mask_trajectory
from trajectories.records import ContextPair, MaskedContext, Trajectory

OBSERVATION_WEIGHT = 0.3
"""Weight of tokens that the policy does not have to write; what it writes has 1."""
QUOTE_PROMPT_WEIGHT = 0.09


@dataclass(frozen=True)
class Example:
    """A sequence [T] and the weight [T] of predicting each of its tokens from those before it."""

    ids: list[int]
    weights: list[float]


class Corpus:
    """Draws examples from recorded demonstrations. Deterministic in the seed and the calls made."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        choices: ChoiceFormat,
        demonstrations: Sequence[Trajectory],
        contexts: Sequence[Trajectory],
        seed: int,
    ) -> None:
        """`contexts`: episodes that read everything and are right, for pairs; `demonstrations` also err."""
        self._tokenizer, self._choices, self._rng = tokenizer, choices, random.Random(seed)
        self._demonstrations = [_demonstration(t) for t in demonstrations]
        self._quotes = [e for t in demonstrations if (e := self._quote(t))]
        self._contexts = [(t.files[0], t.answer, mask_trajectory(t)) for t in contexts]
        self._names = [_id(tokenizer, n) for n in IDENTIFIERS]
        self._numbers = [_id(tokenizer, str(n)) for n in range(10, 100)]
        self._code = range(len(tokenizer) - len(IDENTIFIERS), len(tokenizer))

    def demonstrations(self, count: int) -> list[Example]:
        """Whole episodes."""
        return [self._renamed(e) for e in self._rng.sample(self._demonstrations, count)]

    def quotes(self, count: int) -> list[Example]:
        """A view of a module, then the request to quote one of its functions, then exactly that."""
        return [self._renamed(e) for e in self._rng.sample(self._quotes, count)]

    def choices(self, count: int) -> list[Example]:
        """Easy context pairs (different files) with the right letter; only the letter counts."""
        examples: list[Example] = []
        while len(examples) < count:
            (file, answer, anchor), (other, _, confounder) = self._rng.sample(self._contexts, 2)
            if file != other:
                examples.append(self._renamed(self._choice(answer, anchor, confounder)))
        return examples

    def repeats(self, count: int, length: int = 64, longest: int = 28) -> list[Example]:
        """Random tokens, repeated with junk between the copies; only the copies count."""
        return [self._repeat(length, longest) for _ in range(count)]

    def _choice(self, answer: str, anchor: MaskedContext, confounder: MaskedContext) -> Example:
        pair = ContextPair(
            repo="", base_commit="", file="", function="", answer=answer, anchor=anchor, confounder=confounder
        )
        prompt = self._choices.prompt(pair, self._rng.random() < 0.5)
        if prompt is None:
            raise ValueError("a demonstration is longer than a choice prompt may be; raise its token limit")
        return Example([*prompt.ids, prompt.anchor_letter], [0.0] * len(prompt.ids) + [1.0])

    def _quote(self, trajectory: Trajectory) -> Example | None:
        """Built on the turns up to the view of the source."""
        ids: list[int] = []
        for turn, following in zip(trajectory.turns, trajectory.turns[1:], strict=False):
            ids += [*turn.prompt_ids, *turn.completion_ids]
            path = turn.tool_call.arguments.get("path", "")
            if turn.tool_call.name == "view" and path.endswith(".py"):
                function = self._rng.choice(module_from_source(path, turn.observation).functions)
                request = self._encode(f"{USER}{QUOTE}{function.name}.\n{END}{ASSISTANT}")
                ids += [*following.prompt_ids[:-1], *request]  # the assistant's mark comes after the request
                quoted = self._encode(function.source().rstrip("\n") + END)
                weights = [QUOTE_PROMPT_WEIGHT] * len(ids) + [1.0] * len(quoted)
                return Example([*ids, *quoted], weights)
        return None

    def _repeat(self, length: int, longest: int) -> Example:
        rng = self._rng
        size = rng.randint(4, min(longest, length // 2))
        segment = [rng.choice(self._code) for _ in range(size)]
        ids: list[int] = []
        weights: list[float] = []
        while len(ids) < length:
            weights += [0.0, *[1.0 if ids else 0.0] * (size - 1)]
            ids += segment
            junk = [rng.choice(self._code) for _ in range(rng.randrange(7))]
            ids += junk
            weights += [0.0] * len(junk)
        return Example(ids[:length], weights[:length])

    def _renamed(self, example: Example) -> Example:
        new: dict[int, int] = {}
        for group in (self._names, self._numbers):
            new |= zip(group, self._rng.sample(group, len(group)), strict=True)
        return Example([new.get(i, i) for i in example.ids], example.weights)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


def _demonstration(trajectory: Trajectory) -> Example:
    weights = [1.0 if sampled else OBSERVATION_WEIGHT for sampled in trajectory.loss_mask()]
    return Example(trajectory.token_ids(), weights)


def _id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int)
    return found
