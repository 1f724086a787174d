"""Continuous batching over one model: requests join and leave between any two decoding steps.

Invariant: `row.tokens` are exactly the tokens whose keys and values row `row.index` of the cache holds, and the active
rows are the first `active` ones, so that a step reads a view of the cache and pays for no one who has finished.
Synchronous and not thread-safe: `agents.engine` owns the thread that calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import torch

from agents.cached_model import CachedModel
from agents.sampler import draw

PREFILL_TOKENS = 4096
"""Most tokens, padding included, of one prefill forward of several rows."""
PADDING_TOKENS = 64
"""Tokens that cost about as much as one forward more."""


@dataclass(eq=False)
class Request:
    """One turn to sample. `uniform` holds one number for each token that may be sampled."""

    session: str
    token_ids: list[int]
    temperature: float
    uniform: list[float]
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    stopped: bool = False
    cancelled: bool = False


IDLE = Request("", [], 0.0, [])


@dataclass(eq=False)
class Row:
    """One row of the cache: who owns it, what it holds, what it is sampling."""

    index: int
    session: str | None = None
    tokens: list[int] = field(default_factory=list)
    request: Request = IDLE
    used: int = 0

    @property
    def next_token(self) -> int:
        """The token to feed next: the last one that was sampled, or the prompt's last."""
        return (self.request.ids or self.request.token_ids)[-1]


class Batch:
    """Up to `max_batch` sessions in one cache, decoded together."""

    def __init__(self, model: Any, stop_ids: AbstractSet[int], max_batch: int) -> None:
        self.model = CachedModel(model)
        self.stop_ids = stop_ids
        self.max_batch = max_batch
        self.forget()

    def forget(self) -> None:
        """Drop every row: the weights have changed."""
        self.model.forget()
        self.rows: list[Row] = []
        self.active = 0
        self.clock = 0

    def release(self, session: str) -> None:
        """The session is over; its row may be given to another."""
        for row in self.rows:
            if row.session == session:
                row.session = None

    def admit(self, requests: Sequence[Request]) -> None:
        """Start requests, at most `max_batch - active`: their rows then hold all of the prompt but its last token.

        A prompt that another row holds already (the episodes of a group begin alike) is copied, not computed.
        """
        cache = self.model.cache
        longest = max(len(request.token_ids) for request in requests)
        cache.reserve(min(self.max_batch, len(self.rows) + len(requests)), longest)
        joining: set[Row] = set()
        todo: list[tuple[Row, int]] = []
        later: list[tuple[Row, Row]] = []
        for request in requests:
            row, prompt = self._row_for(request.session), request.token_ids[:-1]
            held = _common(row.tokens, prompt)
            donor = self._holder(prompt) if held < len(prompt) else None
            self._swap(row.index, self.active)
            self.active += 1
            row.session, row.tokens, row.request = request.session, prompt, request
            if donor is not None and donor in joining:
                later.append((donor, row))
            elif donor is not None:
                cache.copy(donor.index, row.index, len(prompt))
            elif held < len(prompt):
                todo.append((row, held))
            joining.add(row)
        self._prefill(sorted(todo, key=lambda item: len(item[0].tokens) - item[1]))
        for donor, row in later:
            cache.copy(donor.index, row.index, len(row.tokens))

    def step(self) -> list[Request]:
        """Sample one token in every active row; the requests that finished with it."""
        live = self.rows[: self.active]
        requests = [row.request for row in live]
        tokens = [[row.next_token] for row in live]
        logits = self.model.forward(len(live), tokens, [[len(row.tokens)] for row in live])
        device = logits.device
        ids, logprobs = draw(
            logits,
            torch.tensor([r.temperature for r in requests], device=device),
            torch.tensor([r.uniform[len(r.ids)] for r in requests], dtype=torch.float64, device=device),
        )
        for row, fed, token, logprob in zip(live, tokens, ids.tolist(), logprobs.tolist(), strict=True):
            row.tokens.extend(fed)
            row.request.ids.append(token)
            row.request.logprobs.append(logprob)
        finished = [(row, row.request) for row in live if self._ended(row.request)]
        for row, _ in finished:
            self._retire(row)
        return [request for _, request in finished]

    def _ended(self, request: Request) -> bool:
        """Whether the turn is over."""
        request.stopped = request.ids[-1] in self.stop_ids
        return request.stopped or request.cancelled or len(request.ids) == len(request.uniform)

    def _retire(self, row: Row) -> None:
        """Take a row out of the active ones; its cache stays for the session's next turn."""
        self.clock += 1
        row.request, row.used = IDLE, self.clock
        self.active -= 1
        self._swap(row.index, self.active)

    def _prefill(self, todo: list[tuple[Row, int]]) -> None:
        """Compute keys and values of rows' tokens from a start on; `todo` is sorted by how many that are."""
        while todo:
            width = len(todo[0][0].tokens) - todo[0][1]
            chunk = [todo.pop(0)]
            while todo and self._fits(chunk, wider := len(todo[0][0].tokens) - todo[0][1], wider - width):
                width = wider
                chunk.append(todo.pop(0))
            # A short row is filled up with its own last token at its own place: it writes the same thing again.
            places = [[min(start + i, len(row.tokens) - 1) for i in range(width)] for row, start in chunk]
            tokens = [[row.tokens[p] for p in at] for (row, _), at in zip(chunk, places, strict=True)]
            self.model.forward([row.index for row, _ in chunk], tokens, places)

    @staticmethod
    def _fits(chunk: list[tuple[Row, int]], width: int, wider: int) -> bool:
        """Whether another row may join a prefill: not if another forward is cheaper than the padding it brings."""
        return (len(chunk) + 1) * width <= PREFILL_TOKENS and len(chunk) * wider <= PADDING_TOKENS

    def _row_for(self, session: str) -> Row:
        """The session's own row, else an unowned one, a new one, or the one that has waited longest."""
        idle = self.rows[self.active :]
        own = [row for row in idle if row.session == session]
        free = [row for row in idle if row.session is None]
        if not own and not free and len(self.rows) < self.max_batch:
            self.rows.append(Row(len(self.rows)))
            return self.rows[-1]
        return min(own or free or idle, key=lambda row: row.used)

    def _holder(self, prompt: list[int]) -> Row | None:
        """A row that holds (or will, after this admission) the whole prompt."""
        return next((row for row in self.rows if row.tokens[: len(prompt)] == prompt), None)

    def _swap(self, a: int, b: int) -> None:
        """Exchange two rows, in the list and in the cache."""
        if a != b:
            first, second = self.rows[a], self.rows[b]
            self.model.cache.swap(a, b, max(len(first.tokens), len(second.tokens)))
            self.rows[a], self.rows[b] = second, first
            first.index, second.index = b, a


def _common(a: list[int], b: list[int]) -> int:
    """Length of the longest common prefix."""
    if a == b[: len(a)]:
        return len(a)
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
