"""What happened, as pure data: turns, trajectories, verdicts, context pairs.

Invariant: concatenating `prompt_ids` and `completion_ids` of the turns gives back the exact token sequence that
the policy saw and sampled; nothing is ever re-derived from text. This module imports nothing of ours.
"""

from __future__ import annotations

import time
import uuid
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Status = Literal["submitted", "truncated", "infra_error"]
Judgement = Literal["valid", "invalid", "uncertain"]
MASK = "<PATCH_MASKED>"
"""What stands in a masked trajectory where the patch stood (paper 1, section on agentic pairs)."""


def new_id() -> str:
    """A fresh identifier, 32 hexadecimal digits."""
    return uuid.uuid4().hex


class Record(BaseModel):
    """Base of all records: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolCall(Record):
    """One call that the policy made. `error` is set when its text could not be parsed as a call."""

    name: str
    arguments: dict[str, str] = Field(default_factory=dict)
    error: str | None = None


class Turn(Record):
    """One action of the policy and what came back.

    `prompt_ids`: tokens that were added to the context before this turn was sampled (turn 0: the whole
    prompt; later: the previous observation in the chat template's wrapping). `completion_ids`: what was sampled,
    the end-of-turn token included; `logprobs`: one natural-log probability for each of them under the sampling
    policy.
    """

    prompt_ids: list[int] = Field(default_factory=list)
    completion_ids: list[int] = Field(default_factory=list)
    logprobs: list[float] = Field(default_factory=list)
    policy_version: int = 0
    text: str = ""
    tool_call: ToolCall
    observation: str = ""
    exit_code: int | None = None
    seconds: float = 0.0
    cpu_seconds: float | None = None
    """CPU time, user and system, of what the action ran in the sandbox; None where it was not measured."""
    diff: str | None = None
    """All that differs after the turn from what the agent was given, as a unified diff; None where it was not kept."""
    tree: str = ""
    """Hash of the repository after the turn (`envs.changes`): equal hashes, equal files. Empty: not kept."""
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """What another format said of this turn and no field here holds: see `trajectories.formats`."""


class Verdict(Record):
    """The grader's decision on one patch."""

    resolved: bool
    fail_to_pass: dict[str, str] = Field(default_factory=dict)
    """Test id -> passed | failed | error | skipped | missing."""
    pass_to_pass: dict[str, str] = Field(default_factory=dict)
    reason: str = ""
    """Why it is not resolved, in a few words; empty when it is."""
    seconds: float = 0.0
    tampered: bool = False
    """Somebody meddled with the grading; the reason says how that showed."""
    dropped: tuple[str, ...] = ()
    """Files of the patch that did not count."""
    hashes: dict[str, str] = Field(default_factory=dict)
    """What the verdict is about: the image's name, and sha256 of the patch and of the grader's tests."""


class Trajectory(Record):
    """One episode, whole. `reward` is None when the episode died for a reason of ours (`infra_error`)."""

    id: str = Field(default_factory=new_id)
    run: str = ""
    group: str = ""
    iteration: int = 0
    instance_id: str
    repo: str
    base_commit: str
    problem_statement: str
    turns: list[Turn] = Field(default_factory=list)
    patch: str = ""
    """Unified diff of what the agent changed, relative to what it was given."""
    answer: str = ""
    """The changed functions as they read after the patch: what a context pair asks about."""
    files: list[str] = Field(default_factory=list)
    functions: list[str] = Field(default_factory=list)
    """Touched functions and classes as `path::qualified.name`."""
    sources: dict[str, str] = Field(default_factory=dict)
    """Those of them that were there before, as they read at the base commit: name -> text. Where the repository is not
    at hand, as much of them as the episode showed."""
    status: Status = "submitted"
    verdict: Verdict | None = None
    reward: float | None = None
    policy_version: int = 0
    agent: str = ""
    backend: str = ""
    network: bool = False
    """Whether the agent's sandbox could reach the network."""
    created_at: float = Field(default_factory=time.time)
    seconds: float = 0.0
    extra: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def resolved(self) -> bool:
        """Whether the grader accepted the patch."""
        return self.verdict is not None and self.verdict.resolved

    @property
    def graded(self) -> bool:
        """Whether it was judged: by a grader, or with a reward, as an episode that ran out of turns is."""
        return self.verdict is not None or self.reward is not None

    def token_ids(self) -> list[int]:
        """All tokens in order, shape [T]."""
        return [t for turn in self.turns for t in (*turn.prompt_ids, *turn.completion_ids)]

    def loss_mask(self) -> list[bool]:
        """True exactly where the policy sampled the token, shape [T]."""
        return [
            sampled
            for turn in self.turns
            for sampled in (*[False] * len(turn.prompt_ids), *[True] * len(turn.completion_ids))
        ]

    def token_logprobs(self) -> list[float]:
        """Sampling log-probabilities, 0.0 where nothing was sampled, shape [T]."""
        return [p for turn in self.turns for p in (*[0.0] * len(turn.prompt_ids), *turn.logprobs)]


class ContextTurn(Record):
    """A turn of a masked trajectory, as a pair shows it: text only."""

    text: str
    observation: str = ""
    tool: str = ""
    """Name of the tool that was called: what a judge compares, not part of what is shown."""
    edits: bool = False
    """Whether the call changes files: then what it writes is masked."""
    evidence: str = ""
    """Why this turn may decide the pair (`views the touched function`); empty where nothing says so. Such a turn is the
    last to be left out when a context is cut."""


class MaskedContext(Record):
    """A trajectory as context: the issue and the turns, with the patch masked."""

    trajectory_id: str
    instance_id: str = ""
    problem_statement: str
    turns: list[ContextTurn]
    cut: str = ""
    """What was left out to fit a token budget, in a few words; empty for a whole context."""


class ContextPair(Record):
    """`z = (Q, A, C+, C-)` (paper 1): `answer` is supported by `anchor` and not by `confounder`."""

    id: str = Field(default_factory=new_id)
    run: str = ""
    repo: str
    base_commit: str
    file: str
    function: str
    answer: str
    """The changed definitions after the anchor's patch; where they are the same for both tasks, the lines it adds."""
    replaced: str = ""
    """The lines that the answer's lines take the place of, where it is lines. Shown with them: of two bugs in one
    function the confounder shows the repaired line and the anchor the broken one, and counting words must not tell."""
    confounder_answer: str = ""
    """The same of the confounder's task where it is known: makes sure that the label is not ambiguous."""
    anchor: MaskedContext
    confounder: MaskedContext
    stage: Literal["repo", "file", "function"] = "function"
    """The deepest stage of the cascade that both share: same repository, same file, same function."""
    similarity: float = 1.0
    """How much of the two contexts' lines is the same, 0 to 1; the nearer to 1, the harder the pair."""
    judgement: Judgement = "uncertain"
    reasons: list[str] = Field(default_factory=list)
    created_at: float = Field(default_factory=time.time)

    @property
    def shown_answer(self) -> str:
        """The answer as it is shown: definitions as they read after the patch, or lines as in a diff."""
        if not self.replaced:
            return self.answer
        signed = (("-", self.replaced), ("+", self.answer))
        return "".join(f"{sign}{line}\n" for sign, text in signed for line in text.splitlines())
