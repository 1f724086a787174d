"""Two-way choice prompts: which of two contexts supports this answer?

Invariant: a prompt is complete up to the answer position, so the next token is the letter; both letters are one token
there, checked against the tokenizer and its chat template before any prompt is made. Nothing that an episode showed
can become a control token. The answer stands before and after the contexts: attention is causal, and so they are read
with the answer in mind. This module imports no torch.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

from trajectories.mining.cutting import cut_pair
from trajectories.records import MASK, ContextPair, MaskedContext

LETTERS = ("A", "B")
CHOICE_QUESTION = "Which context supports this answer?\n"
CHOICE_GUTTERS = ("A| ", "B| ")
"""What every turn of a context starts with: which of the two it belongs to can be read off at each turn."""
CHOICE_REPLY = "Reply with A or B."
CHOICE_PHRASES = (CHOICE_QUESTION, *CHOICE_GUTTERS, CHOICE_REPLY)
"""All fixed text of a prompt; a tokenizer made for this may give each a token of its own."""


@dataclass(frozen=True)
class ChoicePrompt:
    """One pair in one letter order, as token ids [T] up to the answer position."""

    pair_id: str
    ids: tuple[int, ...]
    anchor_letter: int
    """Token id of the letter that names the anchor: the right answer."""
    confounder_letter: int
    anchor_first: bool
    """Whether the anchor is A."""
    seed: int = 0
    """Of answers that are drawn to it."""


@dataclass(frozen=True)
class PairResult:
    """What a policy made of one prompt."""

    pair_id: str
    anchor_first: bool
    margin: float
    """l+ - l-, logits; above 0 is right."""

    @property
    def correct(self) -> float:
        """1.0 if right, 0.0 if wrong, 0.5 for a tie."""
        return 0.5 if self.margin == 0 else float(self.margin > 0)


def choice_text(pair: ContextPair, anchor_first: bool) -> str:
    """The user message: answer, contexts with letter gutters, answer again."""
    contexts = (pair.anchor, pair.confounder) if anchor_first else (pair.confounder, pair.anchor)
    question = f"{CHOICE_QUESTION}{pair.shown_answer}\n"
    body = "".join(_context(c, gutter) for c, gutter in zip(contexts, CHOICE_GUTTERS, strict=True))
    return f"{question}{body}{question}{CHOICE_REPLY}"


def _context(context: MaskedContext, gutter: str) -> str:
    turns = [f"{t.text}\n{t.observation}" if t.observation else t.text for t in context.turns]
    return "".join(f"{gutter}{text}\n" for text in (context.problem_statement, *turns))


class ChoiceFormat:
    """Makes choice prompts for one tokenizer. Raises `ValueError` if that cannot ask for a letter."""

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        """`tokenizer` is one of transformers, with a chat template. Longer prompts are left out and counted."""
        self._tokenizer, self.max_tokens = tokenizer, max_tokens
        self.too_long = 0
        """Prompts that were asked for and left out."""
        special = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special and t.content != MASK]
        longest_first = sorted(map(re.escape, special), key=len, reverse=True)
        self._control = re.compile(f"({'|'.join(longest_first) or '(?!)'})")
        self._wrapping = self._split_template()
        self.letter_ids = self._letter_ids()

    def upto(self, max_tokens: int) -> ChoiceFormat:
        """The same with another longest prompt, and a count of its own."""
        other = copy(self)
        other.max_tokens, other.too_long = max_tokens, 0
        return other

    def prompt(self, pair: ContextPair, anchor_first: bool) -> ChoicePrompt | None:
        """One pair in one letter order. Where it has more than `max_tokens` tokens, turns are left out of its contexts
        (`trajectories.mining.cutting`); None, counted in `too_long`, where that is not enough.
        """
        ids = self._encode(choice_text(pair, anchor_first))
        excess = 0
        while len(ids) > self.max_tokens:
            excess += len(ids) - self.max_tokens
            cut = cut_pair(pair, self._context_tokens(pair) - excess, self._count)
            if cut is None:
                self.too_long += 1
                return None
            ids = self._encode(choice_text(cut, anchor_first))
        anchor, confounder = self.letter_ids if anchor_first else self.letter_ids[::-1]
        return ChoicePrompt(pair.id, tuple(ids), anchor, confounder, anchor_first)

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def _context_tokens(self, pair: ContextPair) -> int:
        """About how many tokens the two contexts have: turn by turn, as they are cut."""
        contexts = (pair.anchor, pair.confounder)
        turns = sum(self._count(t.text) + self._count(t.observation) for c in contexts for t in c.turns)
        return turns + sum(self._count(c.problem_statement) for c in contexts)

    def both_orders(self, pairs: Iterable[ContextPair]) -> list[ChoicePrompt]:
        """Every pair twice, anchor as A and anchor as B: no letter habit can score. A pair comes whole or not."""
        prompts: list[ChoicePrompt] = []
        for pair in pairs:
            orders = [p for p in (self.prompt(pair, True), self.prompt(pair, False)) if p]
            prompts += orders if len(orders) == 2 else []
        return prompts

    def balanced(self, pairs: Iterable[ContextPair], rng: random.Random) -> list[ChoicePrompt]:
        """Every pair once; the anchor is A in half of the prompts (give or take one), which half is random."""
        shuffled = list(pairs)
        rng.shuffle(shuffled)
        anchor_first = rng.random() < 0.5
        prompts = []
        for pair in shuffled:
            prompt = self.prompt(pair, anchor_first)
            if prompt:
                prompts.append(replace(prompt, seed=rng.getrandbits(63)))
                anchor_first = not anchor_first
        return prompts

    def _split_template(self) -> tuple[str, str]:
        """What the chat template puts before and after the user's message, the generation prompt included."""
        if not self._tokenizer.chat_template:
            raise ValueError(
                "the policy's tokenizer has no chat template, so no choice prompt can be made; "
                "use a chat model or add a template to its tokenizer_config.json"
            )
        # A template that knows no `enable_thinking` ignores it; one that does then leaves the answer position next.
        text: str = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": CHOICE_REPLY}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        before, found, after = text.partition(CHOICE_REPLY)
        if not found:
            raise ValueError(
                "the policy's chat template does not show the user's message, so no choice prompt can be made; "
                "use another checkpoint or set ca.enabled=false"
            )
        return before, after

    def _encode(self, message: str, reply: str = "") -> list[int]:
        """Token ids of a message in its wrapping, and of the beginning of a reply.

        A control token that the message spells out stays plain text: a file that contains `<|im_end|>` ends no turn.
        """
        before, after = self._wrapping
        parts = self._control.split(message)  # what is at odd places spells a control token
        parts[0] = before + parts[0]
        parts[-1] += after + reply
        ids: list[int] = []
        for spelled, part in zip(cycle((False, True)), parts, strict=False):
            plainly = {"split_special_tokens": True} if spelled else {}
            ids += self._tokenizer.encode(part, add_special_tokens=False, **plainly)
        return ids

    def _letter_ids(self) -> tuple[int, int]:
        """Token ids of A and B right after the generation prompt."""
        before = self._encode(CHOICE_REPLY)
        ids = []
        for letter in LETTERS:
            after = self._encode(CHOICE_REPLY, letter)
            if after[:-1] != before:
                raise ValueError(
                    f'the policy\'s tokenizer does not make "{letter}" one token of its own after the generation '
                    "prompt, so its logit cannot be read; use another checkpoint or set ca.enabled=false"
                )
            ids.append(after[-1])
        return ids[0], ids[1]
