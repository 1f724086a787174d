"""Questions to a language model, each asked once.

Invariant: an answer is in the journal before it is used, and what the journal knows is not asked again: models do not
give the same answer twice. When the model fails, answers that are on their way are still waited for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

from envs.synthesis.candidate import Mutant
from envs.synthesis.journal import Journal
from envs.synthesis.llm.client import ChatModel, ModelConfig, ModelError
from envs.testing.runner import together

_AT_ONCE = 4

Ask = Callable[[], Awaitable[Any]]


class Questions:
    """Asks by way of a journal."""

    def __init__(self, config: ModelConfig | None, journal: Journal, say: Callable[[str], None]) -> None:
        """`say` is told what is asked. Raises `ModelError` for a model whose base_url is none."""
        self.model = ChatModel(config, journal.usage) if config is not None else None
        self._journal, self._say = journal, say

    async def answers(self, questions: Sequence[tuple[str, Ask]]) -> list[Any]:
        """In order: what came of each question's answer, as JSON has it. Raises `ModelError`."""
        missing = [(name, ask) for name, ask in questions if name not in self._journal.answers]
        waiting = iter(missing)
        failed: list[ModelError] = []
        done = 0

        async def work() -> None:
            nonlocal done
            for name, ask in waiting:
                try:
                    self._journal.answer(name, await ask())
                except ModelError as error:
                    failed.append(error)
                    self._journal.spent()
                if failed:
                    return
                done += 1
                self._tell(done, len(missing))

        if missing:
            self._tell(0, len(missing))
        await together(*(work() for _ in range(min(_AT_ONCE, len(missing)))))
        if failed:
            raise ModelError(f"{failed[0]}; all that was found is kept: the same command goes on from there")
        return [self._journal.answers[name] for name, _ in questions]

    async def mutants(
        self, questions: Sequence[tuple[str, Callable[[], Awaitable[Mutant | None]]]]
    ) -> list[Mutant | None]:
        """The candidates that answers hold. Raises `ModelError`."""

        def told(ask: Callable[[], Awaitable[Mutant | None]]) -> Ask:
            async def data() -> dict[str, Any] | None:
                mutant = await ask()
                return None if mutant is None else asdict(mutant)

            return data

        return [_mutant(found) for found in await self.answers([(name, told(ask)) for name, ask in questions])]

    def _tell(self, done: int, total: int) -> None:
        if self.model is not None:
            self._say(f"asking {self.model.config.model}: {done} of {total}")


def _mutant(data: dict[str, Any] | None) -> Mutant | None:
    if data is None:
        return None
    tuples = {name: tuple(data[name]) for name in ("targets", "changed", "also")}
    return Mutant(**{**data, **tuples, "hidden": ()})
