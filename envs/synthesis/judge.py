"""Verdicts on candidates: known ones from the journal, others from running tests.

Invariant: every verdict is in the journal before it is used.
"""

from __future__ import annotations

from collections.abc import Sequence

from envs.synthesis.candidate import Candidate
from envs.synthesis.journal import Journal
from envs.synthesis.options import TaskOptions, is_generated
from envs.synthesis.staged import measure_baseline, validate_staged
from envs.synthesis.validate import Validation, validate
from envs.task import RepoProfile
from envs.testing.runner import Progress
from sandbox.protocol import SandboxBackend

_CHUNK = 256
"""Candidates validated at once by the tests near them: what an interruption may lose."""


class Judge:
    """Verdicts on waves of candidates: from the journal, else from running tests."""

    def __init__(
        self,
        profile: RepoProfile,
        options: TaskOptions,
        backend: SandboxBackend,
        workers: int,
        on_progress: Progress,
        journal: Journal,
    ) -> None:
        self._profile, self._options, self._backend, self._workers = profile, options, backend, workers
        self._on_progress, self._journal = on_progress, journal
        self.suite = "near" if is_generated(profile) else options.suite

    async def verdicts(self, wave: Sequence[Candidate], found: int) -> list[Validation]:
        """In order. `found` bugs were valid before."""
        known = self._journal.verdicts
        missing = [candidate for candidate in wave if candidate.instance_id not in known]
        if missing:
            await (self._full if self.suite == "full" else self._near)(wave, missing, found)
        return [known[candidate.instance_id] for candidate in wave]

    def _say(self, wave: Sequence[Candidate], found: int, text: str = "") -> None:
        valid = found + sum(v.valid for c in wave if (v := self._journal.verdicts.get(c.instance_id)))
        said = text or f"{len(self._journal.verdicts)} candidates tried"
        self._on_progress(min(valid, self._options.bugs), self._options.bugs, said)

    async def _full(self, wave: Sequence[Candidate], missing: Sequence[Candidate], found: int) -> None:
        if self._journal.baseline is None:
            self._say(wave, found, "running all tests twice without a bug")
            self._journal.set_baseline(await measure_baseline(self._profile, self._backend))

        def told(candidate: Candidate, verdict: Validation) -> None:
            self._journal.add(candidate.instance_id, verdict)
            self._say(wave, found)

        self._say(wave, found)
        baseline = self._journal.baseline
        assert baseline is not None
        options = {"backend": self._backend, "workers": self._workers}
        await validate_staged(self._profile, missing, baseline, **options, on_verdict=told)  # type: ignore[arg-type]

    async def _near(self, wave: Sequence[Candidate], missing: Sequence[Candidate], found: int) -> None:
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            verdicts = await validate(
                self._profile,
                chunk,
                backend=self._backend,
                workers=self._workers,
                repeats=1 if is_generated(self._profile) else self._options.repeats,
                max_test_s=self._options.max_test_s,
                on_progress=lambda done, total, text: self._say(wave, found, f"{text}: {done} of {total}"),
            )
            for candidate, verdict in zip(chunk, verdicts, strict=True):
                self._journal.add(candidate.instance_id, verdict)
