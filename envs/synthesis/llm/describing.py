"""Problem statements of validated bugs, by a language model.

Invariant: nothing but the statement changes; each bug is described once, also by a making that was interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from envs.synthesis.candidate import Candidate, Mutant
from envs.synthesis.llm.questions import Questions
from envs.synthesis.llm.statement import describe
from envs.synthesis.validate import Validation
from envs.task import RepoProfile


async def described(
    profile: RepoProfile, bugs: Sequence[tuple[Candidate, Validation]], questions: Questions
) -> list[tuple[Candidate, Validation]]:
    """The bugs in their order, with the statements that the model wrote. Raises `ModelError`."""
    model = questions.model
    assert model is not None, "options without a model were refused"

    def read(path: str) -> str:
        return (profile.tree / path).read_bytes().decode()

    asked, mutants = [], [(bug, verdict) for bug, verdict in bugs if isinstance(bug, Mutant)]
    assert len(mutants) == len(bugs), "repositories of ours, which are described, were refused"
    for bug, verdict in mutants:
        source = bug.fixed[bug.function.partition("::")[0]]
        what = (bug.function, source, verdict.FAIL_TO_PASS, verdict.failures, read, bug.changed)
        asked.append((f"describe {bug.instance_id}", partial(describe, model, *what)))
    statements = await questions.answers(asked)
    return [
        (replace(bug, problem_statement=text), verdict)
        for (bug, verdict), text in zip(mutants, statements, strict=True)
    ]
