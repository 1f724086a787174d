"""Trajectories that are as large as real ones, made of nothing: what a store is measured with.

Sizes are drawn from `TEXT`, `OBSERVATION` and `STATEMENT`: quantiles, in characters, over 1,028 turns of 29 runs of
mini-swe-agent on SWE-bench Verified and 10 sampled trajectories of SWE-smith. What they say is made up, from a corpus
of lines that looks like code and compresses as real turns do (4.5 times). A token is taken to be 4 characters; ids are
spread as words are (a few are most of them), log-probabilities are 32-bit numbers.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from trajectories.records import ToolCall, Trajectory, Turn, Verdict

AT = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 0.997, 1]
TEXT = [31, 98, 126, 162, 207, 255, 399, 717, 1215, 1610, 2191, 3149, 4325, 6662, 12232, 20489]
"""What the policy writes in a turn: 839 on average."""
OBSERVATION = [0, 45, 45, 96, 179, 283, 531, 785, 1247, 1762, 2495, 4992, 10612, 12151, 20036, 100266]
"""What comes back: 1,226 on average."""
STATEMENT = [1961, 2484, 3838, 5182, 5257, 5482, 5871, 6096, 6466, 7015, 7738, 8532, 9233, 10313, 10817, 11033]
REPOSITORIES, FILES, FUNCTIONS, ISSUES, GROUP = 128, 20, 5, 8, 8
"""Files of a repository, functions of a file, issues of a function, trajectories of a group."""
T = TypeVar("T")
VOCABULARY = 150_000
CHARACTERS_PER_TOKEN = 4


class Episodes:
    """An endless supply. The same seed gives the same episodes."""

    def __init__(self, seed: int, turns: int = 30) -> None:
        self._rng, self._turns, self._made = random.Random(seed), turns, 0
        self._name = f"e{seed}"
        numbers = np.random.default_rng(seed)
        spread = np.minimum(numbers.zipf(1.2, 400_000), VOCABULARY) - 1
        self._ids: list[int] = spread.tolist()
        logprobs = -numbers.exponential(0.4, 100_000) * (numbers.random(100_000) < 0.4)
        self._logprobs: list[float] = logprobs.astype(np.float32).astype(float).tolist()
        self._corpus = corpus(random.Random(seed))

    def next(self, run: str = "bench") -> Trajectory:
        """One more, of a group of `GROUP` on the same issue."""
        rng, number = self._rng, self._made
        self._made += 1
        group = random.Random(f"{self._name}/{number // GROUP}")
        repo, file, function = (group.randrange(n) for n in (REPOSITORIES, FILES, FUNCTIONS))
        path, issue = f"pkg/module_{file}.py", group.randrange(ISSUES)
        statement = self._cut(group, drawn(group, STATEMENT))
        resolved = rng.random() < 0.4
        patch = self._cut(rng, 800)
        return Trajectory(
            id=f"{self._name}-{number:08}",
            run=run,
            group=f"{self._name}/{number // GROUP}",
            iteration=number // 512,
            instance_id=f"repo_{repo}.{file}.{function}.{issue}",
            repo=f"repo_{repo}",
            base_commit=f"{repo:040x}",
            problem_statement=f"In {path}: {statement}",
            turns=[self._turn(rng) for _ in range(self._turns)],
            patch=f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n{patch}",
            answer=self._cut(rng, 1200),
            files=[path, f"pkg/module_{rng.randrange(FILES)}.py"],
            functions=[f"{path}::Thing.function_{function}", f"{path}::Thing"],
            status="truncated" if rng.random() < 0.1 else "submitted",
            verdict=Verdict(resolved=resolved, fail_to_pass={f"tests/test_{file}.py::test_{issue}": "passed"}),
            reward=float(resolved),
            policy_version=number // 512,
            agent="tools",
            created_at=1e9 + number,
            seconds=60.0,
        )

    def _turn(self, rng: random.Random) -> Turn:
        text, observation = (self._cut(rng, drawn(rng, sizes)) for sizes in (TEXT, OBSERVATION))
        completion = self._take(rng, self._ids, len(text))
        return Turn(
            prompt_ids=self._take(rng, self._ids, len(observation)),
            completion_ids=completion,
            logprobs=self._take(rng, self._logprobs, CHARACTERS_PER_TOKEN * (len(completion) - 2)),
            text=text,
            tool_call=ToolCall(name="bash", arguments={"command": text[-len(text) // 2 :]}),
            observation=observation,
            exit_code=0,
            seconds=1.0,
        )

    def _cut(self, rng: random.Random, size: int) -> str:
        at = rng.randrange(len(self._corpus) - size)
        return self._corpus[at : at + size]

    def _take(self, rng: random.Random, numbers: Sequence[T], characters: int) -> list[T]:
        count = characters // CHARACTERS_PER_TOKEN + 2
        at = rng.randrange(len(numbers) - count)
        return list(numbers[at : at + count])


def drawn(rng: random.Random, sizes: list[int]) -> int:
    """A size: on a line between two of the quantiles."""
    u = rng.random()
    i = bisect_right(AT, u) - 1
    share = (u - AT[i]) / (AT[i + 1] - AT[i])
    return round(sizes[i] + share * (sizes[i + 1] - sizes[i]))


def corpus(rng: random.Random, size: int = 4_000_000) -> str:
    """Lines that look like code; those that stand together are about the same few names, as in a file."""
    letters = "etaoinsrhldcumfpgwybvkxjqz"
    words = ["".join(rng.choices(letters, range(26, 0, -1), k=rng.randint(2, 9))) for _ in range(4000)]
    shapes = [
        "    {} = {}.{}({}, {})",
        "        if {} is not {}:",
        "        return {}.{}({})",
        "    def {}(self, {}, {}):",
    ]
    shapes += [
        "        # {} {} {} {} {} {}",
        "{} {} {} the {} of {} is {}",
        "/testbed/{}/{}.py:{}: {}",
        '    "{}": {},',
    ]
    lines, made = [], 0
    while made < size:
        names = rng.sample(words, 12)
        for _ in range(40):
            shape = rng.choice(shapes)
            lines.append(shape.format(*rng.choices(names, k=shape.count("{}"))))
            made += len(lines[-1]) + 1
    return "\n".join(lines)
