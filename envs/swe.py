"""A software-engineering task as a Gymnasium environment.

Invariant: one episode has one sandbox, which is gone when the episode is over, and one reward, which is decided once,
at submission, in another sandbox. What `reset` and `step` return depends on the task and the actions alone: no
times (`StepResult.cpu_seconds` apart, which `step` leaves out), no names of sandboxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import gymnasium

from envs.changes import Changes
from envs.definitions import changed_definitions, touched_functions, touched_sources
from envs.grading import Grader, GradeReport
from envs.grading.choose import TaskGrader
from envs.published import published_profile
from envs.session import Session, open_session
from envs.spaces import AnyText
from envs.task import RepoProfile, TaskInstance
from envs.toolbox import Observation
from envs.tools import Action, ActionError
from sandbox.backends import open_backend
from sandbox.loop import run_sync
from sandbox.protocol import Limits, Sandbox, SandboxBackend


class EpisodeError(RuntimeError):
    """The environment was used out of order: a step before the reset or after the end, an unknown instance."""


@dataclass(frozen=True)
class StepResult:
    """What a step gave. `exit_code` is that of the process that the action ran, if it ran one."""

    observation: str
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    exit_code: int | None = None
    cpu_seconds: float | None = field(default=None, compare=False)
    """CPU time of what the action ran in the sandbox; None where it ran nothing, or it was not measured."""
    diff: str | None = None
    """All that differs now from what the agent was given, as a unified diff; None where it is not kept."""
    tree: str = ""
    """Hash of the same, and of what no diff can hold (see `envs.changes`); empty where it is not kept."""

    @property
    def done(self) -> bool:
        """Whether the episode is over."""
        return self.terminated or self.truncated


class SWEEnv(gymnasium.Env[str, str]):
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
        self._clear(None)

    def _clear(self, task: TaskInstance | None) -> None:
        self._task = task
        self._session: Session | None = None
        self._result: StepResult | None = None
        self._transcript: list[tuple[str, str]] = []
        self.turns = 0
        self.report: GradeReport | None = None
        """The grader's verdict, once the episode ended with a submission."""

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

    # -- the asynchronous core ----------------------------------------------------------------------------------

    async def areset(self, task: TaskInstance) -> str:
        """Start an episode in a fresh sandbox; the problem statement. Raises `SandboxError`."""
        if task.profile not in self.profiles and not task.image:
            raise EpisodeError(f"task {task.instance_id} needs the profile {task.profile!r}, which was not given")
        await self.aclose()
        self._clear(task)
        backend, profile = await self._opened(), self._profile(task)
        self._session = await open_session(backend, task, profile, self.limits, self.max_observation_chars)
        return task.problem_statement

    async def astep(self, action: Action | str) -> StepResult:
        """Act. What the policy got wrong is told in the observation. Raises `SandboxError`, `EpisodeError`."""
        session = self._session
        if session is None or session.sandbox is None:
            raise EpisodeError("the episode is over: reset first" if self._result else "reset first")
        if not isinstance(action, str | Action):
            raise EpisodeError(f"{action!r} is no action: give an Action, or its JSON as text")
        self.turns += 1
        try:
            result = await self._act(action, session)
        except BaseException:
            await self.aclose()
            raise
        self._transcript.append((action if isinstance(action, str) else action.to_json(), result.observation))
        self._result = result
        return result

    async def _act(self, action: Action | str, session: Session) -> StepResult:
        try:
            action = Action.from_json(action) if isinstance(action, str) else action
        except ActionError as error:
            return await self._turn_over(Observation(f"error: {error}"), session)
        if action.name == "submit":
            return await self._submit(session)
        return await self._turn_over(await session.act(action), session)

    async def _turn_over(self, observation: Observation, session: Session) -> StepResult:
        truncated = self.turns >= self.max_turns
        if truncated:
            await session.patch()
            await session.close()
        elif self.record_diffs:
            await session.look()
        spent = (observation.exit_code, observation.cpu_seconds)
        return self._recorded(StepResult(observation.text, 0.0, False, truncated, *spent), session)

    async def _submit(self, session: Session) -> StepResult:
        patch = await session.patch()
        await session.close()
        self.report = await self.grader.grade(self.task, self._profile(self.task), patch)
        reward = 1.0 if self.report.resolved else 0.0
        return self._recorded(StepResult(session.farewell(), reward, terminated=True), session)

    def _recorded(self, result: StepResult, session: Session) -> StepResult:
        """With what differed at the last look, since which nothing can have changed."""
        return replace(result, diff=session.diff, tree=session.changes.tree) if self.record_diffs else result

    async def patch(self) -> str:
        """What the agent changed, relative to what it was given, read from the sandbox; the last such once it is
        over. `answer`, `files`, `functions` and `sources` are those of the last call.
        """
        return await self._session.patch() if self._session else ""

    async def aclose(self) -> None:
        """Stop the sandbox. Safe to call twice."""
        if self._session is not None:
            await self._session.close()

    def _profile(self, task: TaskInstance) -> RepoProfile:
        return self.profiles[task.profile] if task.profile in self.profiles else published_profile(task)

    @property
    def sandbox(self) -> Sandbox | None:
        """The sandbox of the episode that is being played, for whoever looks on; None before and after."""
        return self._session.sandbox if self._session else None

    def disturbed(self) -> None:
        """Somebody used the sandbox besides the agent: with the next step all of the repository is looked at."""
        if self._session is not None:
            self._session.disturbed()

    # -- what the episode came to -------------------------------------------------------------------------------

    @property
    def _changes(self) -> Changes:
        return self._session.changes if self._session else Changes()

    @property
    def task(self) -> TaskInstance:
        """The task that is being played."""
        if self._task is None:
            raise EpisodeError("no task yet: reset first")
        return self._task

    @property
    def files(self) -> list[str]:
        """Paths of the files that the patch changes."""
        return sorted(self._changes.before)

    @property
    def functions(self) -> list[str]:
        """`path::qualname` of the functions and classes that the patch touches."""
        return touched_functions(self._changes.before, self._changes.after)

    @property
    def sources(self) -> dict[str, str]:
        """Those of them that were there before, as they read at the base commit."""
        return touched_sources(self._changes.before, self._changes.after)

    @property
    def answer(self) -> str:
        """Those of them that are there after the patch, as they read then: the answer A of a context pair."""
        return changed_definitions(self._changes.before, self._changes.after)

    # -- Gymnasium ----------------------------------------------------------------------------------------------

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
        if self.render_mode is None or self._task is None:
            return None if self.render_mode is None else ""
        steps = (f"\n> {action}\n{observation.rstrip()}\n" for action, observation in self._transcript)
        return self._task.problem_statement.rstrip() + "\n" + "".join(steps)

    def close(self) -> None:
        """Stop the sandbox, and the backend where it was named and not given. Safe to call twice."""
        run_sync(self._close())

    async def _close(self) -> None:
        await self.aclose()
        if self._own_backend and not isinstance(self._backend, str):
            backend, self._backend, self._grader = self._backend, self._backend.name, None
            await backend.close()
