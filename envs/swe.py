"""A software-engineering task as a Gymnasium environment.

Invariant: each episode has a sandbox of its own (`envs.attempt`), and is graded in another. What `reset` and `step`
return depends on the task and the actions alone: no times (`StepResult.cpu_seconds` apart, which `step` leaves out), no
names of sandboxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import gymnasium

from envs.attempt import Attempt, EpisodeError, StepResult
from envs.grading import Grader
from envs.grading.choose import TaskGrader
from envs.playing import Playing
from envs.published import published_profile
from envs.session import open_session
from envs.spaces import AnyText
from envs.task import RepoProfile, TaskInstance
from sandbox.backends import open_backend
from sandbox.loop import run_sync
from sandbox.protocol import Limits, SandboxBackend

__all__ = ["EpisodeError", "SWEEnv", "StepResult"]


class SWEEnv(Playing, gymnasium.Env[str, str]):
    """Plays tasks, one at a time. Observations and actions are text; an action is the JSON of an `Action`.

    The core is asynchronous (`areset`, `astep`, `aclose`); `reset`, `step` and `close` are the same for Gymnasium.
    The reward is 1.0 for a submission that the grader accepts, else 0.0; an episode that runs out of turns is
    truncated, ungraded, with reward 0.0. `SandboxError` is raised, and ends the episode without a reward.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(
        self,
        tasks: Sequence[TaskInstance],
        profiles: Mapping[str, RepoProfile],
        backend: SandboxBackend | str = "auto",
        grader: Grader | None = None,
        *,
        limits: Limits | None = None,
        max_turns: int = 8,
        max_observation_chars: int = 4000,
        record_diffs: bool = True,
        render_mode: str | None = None,
    ) -> None:
        """`profiles`: name -> profile, one for each task's `profile`. A backend that is given stays the caller's to
        close; one that is named is opened with the first episode and closed by `close`. `record_diffs`: look after
        each step what differs in the repository; costs a listing of its files where the step may have changed some.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode {render_mode!r} is not known: use 'ansi' or None")
        if max_turns < 1:
            raise ValueError(f"max_turns is {max_turns}: an episode has at least one turn")
        self.tasks = {task.instance_id: task for task in tasks}
        self.profiles = profiles
        self.limits = limits or Limits()
        self._backend = backend
        self._own_backend = isinstance(backend, str)
        self._grader = grader
        self.max_turns = max_turns
        self.max_observation_chars = max_observation_chars
        self.record_diffs = record_diffs
        self.render_mode = render_mode
        self.observation_space = AnyText()
        self.action_space = AnyText()

    @property
    def grader(self) -> Grader:
        """Who decides at submission. Graders may be shared between environments: set it to another's."""
        if self._grader is None:
            if isinstance(self._backend, str):
                raise EpisodeError("the backend is not open yet: reset first")
            self._grader = TaskGrader(self._backend, self.limits)
        return self._grader

    @grader.setter
    def grader(self, grader: Grader) -> None:
        self._grader = grader

    @property
    def backend_name(self) -> str:
        """Name of the backend that episodes run on; `auto` before the first, where it was left open."""
        return self._backend if isinstance(self._backend, str) else self._backend.name

    @property
    def settings(self) -> dict[str, Any]:
        """What decides observations besides task and actions, as JSON: who plays an episode again needs it."""
        return {
            "max_turns": self.max_turns,
            "max_observation_chars": self.max_observation_chars,
            "limits": asdict(self.limits),
        }

    async def _opened(self) -> SandboxBackend:
        if isinstance(self._backend, str):
            self._backend = await open_backend(self._backend)
        return self._backend

    async def areset(self, task: TaskInstance) -> str:
        """Start an episode in a fresh sandbox; the problem statement. Raises `SandboxError`."""
        if task.profile not in self.profiles and not task.image:
            raise EpisodeError(f"task {task.instance_id} needs the profile {task.profile!r}, which was not given")
        await self.aclose()
        self._task, self._attempt = task, None
        backend, profile = await self._opened(), self._profile(task)
        session = await open_session(backend, task, profile, self.limits, self.max_observation_chars)
        self._attempt = Attempt(
            session,
            lambda patch: self.grader.grade(task, profile, patch),
            max_turns=self.max_turns,
            record_diffs=self.record_diffs,
        )
        return task.problem_statement

    def _profile(self, task: TaskInstance) -> RepoProfile:
        return self.profiles[task.profile] if task.profile in self.profiles else published_profile(task)

    # -- the same for Gymnasium ---------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode of `options["instance_id"]`, or of a task drawn at random."""
        super().reset(seed=seed)
        if not self.tasks:
            raise EpisodeError("the environment has no tasks")
        wanted = (options or {}).get("instance_id")
        if wanted is None:
            wanted = list(self.tasks)[int(self.np_random.integers(len(self.tasks)))]
        if wanted not in self.tasks:
            raise EpisodeError(f"no task {wanted!r}: choose one of {', '.join(list(self.tasks)[:5])}, ...")
        observation = run_sync(self.areset(self.tasks[wanted]))
        return observation, {}  # an instance id says how its bug was made: it is in `task`

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Act with the JSON of an action: `{"name": "view", "arguments": {"path": "pkg/mod.py"}}`."""
        result = run_sync(self.astep(action))
        info: dict[str, Any] = {"exit_code": result.exit_code}
        if result.done:
            info |= {"resolved": result.reward > 0, "reason": self.report.reason if self.report else "out of turns"}
        return result.observation, result.reward, result.terminated, result.truncated, info

    def render(self) -> str | None:
        """The episode so far as text."""
        return None if self.render_mode is None else self._so_far()

    def close(self) -> None:
        """Stop the sandbox, and the backend where it was named and not given. Safe to call twice."""
        run_sync(self._close())

    async def _close(self) -> None:
        await self.aclose()
        if self._own_backend and not isinstance(self._backend, str):
            backend, self._backend, self._grader = self._backend, self._backend.name, None
            await backend.close()
