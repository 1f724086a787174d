"""Judging context pairs by asking a language model about what the rules let pass.

Invariant: the model is never told which context is the anchor, and which of the two stands first is drawn from the
pair's text and a seed, so that neither can be favoured and the same pair is always asked in the same words. Whatever
goes wrong with one pair leaves it uncertain, with the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from string import Template

from trajectories.endpoints.endpoint import BudgetExhausted, Endpoint, EndpointError
from trajectories.judging.opinion import Opinion, read_opinion
from trajectories.judging.rules import RuleJudge
from trajectories.mining.cutting import cut_pair
from trajectories.protocol import PairJudge
from trajectories.records import ContextPair, Judgement, MaskedContext
from trajectories.storage.pairs import pair_key

Judged = tuple[Judgement, list[str]]
_ONE_PAIRS_OWN = (400, 413, 422)
"""Statuses that say that this request is too long or odd, and nothing of the next."""


class LanguageJudge:
    """A `PairJudge` that asks the rules first, and then a model. Reasons read `rule: sentence` or `model: sentence`.

    Raises `EndpointError` while the endpoint has not answered once (a wrong address, a wrong key); later errors leave
    the pair uncertain. Thread-safe.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        rules: PairJudge | None = None,
        *,
        both_orders: bool = False,
        seed: int = 0,
        max_tokens: int = 1024,
        room: int = 100_000,
    ) -> None:
        """`both_orders`: ask twice, and decide only what both replies say. `room`: tokens of the two contexts."""
        self._endpoint, self._rules = endpoint, rules or RuleJudge()
        self._both, self._seed, self._max_tokens, self._room = both_orders, seed, max_tokens, room
        self._answered = False

    def judge(self, pair: ContextPair) -> Judged:
        """The judgement, and all that was said for it."""
        judgement, reasons = self._rules.judge(pair)
        if judgement == "invalid":
            return judgement, reasons
        said, why = self._ask(pair)
        return said, [*reasons, *(f"model: {sentence}" for sentence in why)]

    def judge_many(
        self, pairs: Sequence[ContextPair], on_done: Callable[[int, Judged], object] | None = None
    ) -> list[Judged]:
        """`judge` on each, several at a time, in order; `on_done(place, judged)` in the order in which they come."""

        def one(place: int) -> Judged:
            judged = self.judge(pairs[place])
            if on_done:
                on_done(place, judged)
            return judged

        with ThreadPoolExecutor(self._endpoint.concurrency, thread_name_prefix="judge") as pool:
            try:
                return list(pool.map(one, range(len(pairs))))
            except KeyboardInterrupt:
                self._endpoint.close()  # what is under way is not asked again
                raise

    def _ask(self, pair: ContextPair) -> Judged:
        shown = cut_pair(pair, self._room)
        if shown is None:
            return "uncertain", [f"the contexts do not fit into {self._room:,} tokens, and were not read"]
        key = hashlib.sha256(f"{self._seed} {pair_key(pair)}".encode()).digest()
        orders = (key[0] % 2 == 0, key[0] % 2 == 1)[: 1 + self._both]
        found = []
        for anchor_first in orders:
            try:
                opinion = self._opinion(shown, anchor_first)
            except BudgetExhausted as error:
                return "uncertain", [str(error)]
            except EndpointError as error:
                if not self._answered and error.status not in _ONE_PAIRS_OWN:
                    raise
                return "uncertain", [str(error)]
            found.append(_held(opinion, anchor_first))
        if len({judgement for judgement, _ in found}) > 1:
            both = "; ".join(f"{judgement}: {' '.join(why)}" for judgement, why in found)
            return "uncertain", [f"in the two orders it judges otherwise ({both})"]
        return found[0]

    def _opinion(self, pair: ContextPair, anchor_first: bool) -> Opinion | str:
        """The model's opinion in one order; what it said where that cannot be read, also when asked again."""
        first, second = (pair.anchor, pair.confounder)[:: 1 if anchor_first else -1]
        user = Template(_prompt("judge.user")).substitute(
            answer=pair.shown_answer.rstrip("\n"), first=_text(first), second=_text(second)
        )
        messages = [{"role": "system", "content": _prompt("judge.system")}, {"role": "user", "content": user}]
        said = ""
        for again in (False, True):
            if again:
                messages += [
                    {"role": "assistant", "content": said},
                    {"role": "user", "content": _prompt("judge.again")},
                ]
            said = self._endpoint.chat(messages, max_tokens=self._max_tokens).text
            self._answered = True
            if opinion := read_opinion(said):
                return opinion
        return said


def _held(opinion: Opinion | str, anchor_first: bool) -> Judged:
    """The opinion held against the label: a model that takes the confounder for the anchor makes no pair valid."""
    if isinstance(opinion, str):
        excerpt = " ".join(opinion.split())[:100]
        return "uncertain", [f"its reply could not be read: {excerpt!r}"]
    names = {"1": "anchor", "2": "confounder"} if anchor_first else {"1": "confounder", "2": "anchor"}
    taken = names.get(opinion.supports, opinion.supports)
    reasons = list(opinion.reasons) or [f"it says {opinion.judgement}, without a reason"]
    if opinion.judgement == "valid" and taken not in ("anchor", ""):
        return "uncertain", [f"it takes {taken} for what supports the answer", *reasons]
    return opinion.judgement, reasons


def _text(context: MaskedContext) -> str:
    turns = [
        f"[turn {i}]\n{turn.text.strip()}\n[observation]\n{turn.observation.strip()}"
        for i, turn in enumerate(context.turns, 1)
    ]
    return "\n\n".join([f"[issue]\n{context.problem_statement.strip()}", *turns])


@cache
def _prompt(name: str) -> str:
    return files("trajectories").joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8").strip()
