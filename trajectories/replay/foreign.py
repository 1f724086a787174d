"""Turns of other programs' agents, done again: their shell in ours, their editors by our own implementations.

Invariant: an action is done again exactly once, or not at all and then the answer says why; the repository lies where
it lay for the scaffold, by name.
"""

from __future__ import annotations

from dataclasses import asdict
from shlex import quote

from envs.grading.choose import TaskGrader
from envs.patch import make_patch
from envs.published import published_profile
from envs.runtime import image_of
from envs.workspace import Workspace, open_workspace
from sandbox.protocol import ExecResult, Limits, Sandbox, SandboxBackend
from trajectories.records import Status, Trajectory, Turn, Verdict
from trajectories.replay.calls import SAYS_NOTHING, lists, playable
from trajectories.replay.editor import Editor, OutOfReach
from trajectories.replay.editor_answers import plain, shown_alike
from trajectories.replay.scaffolds import STATE, heard, paths_of, scaffold_of
from trajectories.replay.stage import Answer
from trajectories.replay.tasks import Ground
from trajectories.replay.windows import Windows

LIMITS = Limits(timeout_s=120.0, tmp_mb=1024, memory_mb=2048, pids=512)
"""What other scaffolds gave was not written down; this is about as much."""
_LOGGED = "Your thought has been logged."
_MERGED = 'exec bash -c "$0" 2>&1'


class ForeignStage:
    """Plays SWE-agent's, mini-swe-agent's and OpenHands' turns in a sandbox that shows the repository."""

    def __init__(
        self, trajectory: Trajectory, ground: Ground, backend: SandboxBackend, limits: Limits = LIMITS
    ) -> None:
        self._trajectory, self._ground, self._backend, self._limits = trajectory, ground, backend, limits
        self._scaffold, self._paths = scaffold_of(trajectory), paths_of(trajectory)
        self._profile = ground.profile or published_profile(ground.task)
        self._workspace: Workspace | None = None

    @property
    def backend(self) -> str:
        """See `Stage`."""
        return self._backend.name

    @property
    def image(self) -> str:
        """See `Stage`."""
        return self._profile.image or image_of(self._profile).name

    @property
    def sandbox(self) -> Sandbox | None:
        """See `Stage`."""
        return self._workspace.sandbox if self._workspace else None

    async def open(self) -> None:
        """See `Stage`."""
        self._workspace = await open_workspace(self._backend, self._ground.task, self._profile, self._limits)
        self._editor, self._windows = (
            Editor(self._workspace.sandbox),
            Windows(self._workspace.sandbox, quoted="agent-data-protocol" in self._trajectory.extra),
        )
        self._changes, self._patch = self._workspace.watch.last, ""

    async def play(self, turn: Turn) -> Answer:
        """See `Stage`."""
        call = turn.tool_call
        if why := playable(turn):
            answer = self._unplayed(turn, why)
        elif not call.name or call.error is not None or call.name in SAYS_NOTHING:
            answer = self._unheard(turn, "observation", "exit_code")
        elif call.name == "think":
            answer = self._answered(turn.observation.strip().removeprefix("OBSERVATION:\n"), _LOGGED)
        elif call.name == "bash":
            answer = await self._shell(turn)
        else:
            answer = await self._edit(turn)
        return answer

    def disturbed(self) -> None:
        """See `Stage`: all of it is looked at after every turn."""

    @property
    def ended(self) -> Status | None:
        """See `Stage`: other programs end their episodes themselves."""
        return None

    @property
    def earned(self) -> float | None:
        """See `Stage`: they give no rewards."""
        return None

    async def grade(self) -> Verdict | None:
        """See `Stage`."""
        if not self._ground.graded:
            return None
        patch = await self.patch()
        await self.close()
        grader = TaskGrader(self._backend)
        try:
            return Verdict(**asdict(await grader.grade(self._ground.task, self._profile, patch)))
        finally:
            await grader.close()

    async def patch(self) -> str:
        """See `Stage`."""
        await self._look()
        return self._patch

    async def close(self) -> None:
        """See `Stage`."""
        workspace, self._workspace = self._workspace, None
        if workspace is not None:
            await workspace.close()

    # -- what can be done again -----------------------------------------------------------------------------------

    async def _shell(self, turn: Turn) -> Answer:
        arguments, said = turn.tool_call.arguments, heard(turn, self._scaffold)
        command = self._paths.ours(arguments.get("command", ""))
        if not said.ran:
            return self._unheard(turn, "observation", "exit_code")
        result = await self._run(command)
        await self._look()
        left = ["exit_code"] * (turn.exit_code is None or not said.ended)
        unheard = self._scaffold != "swe-agent" and turn.exit_code is None and not turn.observation
        left += ["observation"] * (unheard or not said.ended or result.timed_out)
        got = said.cut(result.stdout.replace("\r\n", "\n")).strip("\n")
        return self._answered(
            self._paths.ours(said.expected()).strip("\n"),
            got,
            turn.exit_code,
            result.exit_code,
            result.cpu_seconds,
            ordered=not lists(command),
            not_compared=tuple(left),
        )

    async def _run(self, command: str) -> ExecResult:
        """As the scaffold ran it: mini-swe-agent each command in a shell of its own, the others in one."""
        sandbox = self._there().sandbox
        if self._scaffold == "mini-swe-agent":
            return await sandbox.run(["bash", "-c", _MERGED, command])
        return await sandbox.run(f"eval {quote(command)} 2>&1")

    async def _edit(self, turn: Turn) -> Answer:
        name = turn.tool_call.name
        arguments = {key: self._paths.ours(value) for key, value in turn.tool_call.arguments.items()}
        recorded = self._paths.ours(STATE.sub("", turn.observation.replace("\r\n", "\n")))
        left = ("exit_code",) + ("observation",) * (not recorded.strip())  # an editor always says something
        try:
            if name == "str_replace_editor":
                expected = plain(recorded)
                got = shown_alike(expected, plain(await self._editor.call(arguments, recorded)))
            else:
                expected = recorded.strip("\n")
                got = (await self._windows.call(name, arguments, expected)).strip("\n")
                left += ("observation",) * self._windows.linted
        except OutOfReach as error:
            return self._unplayed(turn, str(error))
        await self._look()
        listed = name.startswith(("find", "search")) or "up to 2 levels deep" in expected
        return self._answered(expected, got, ordered=not listed, not_compared=left)

    # -- how it is told -------------------------------------------------------------------------------------------

    def _there(self) -> Workspace:
        if self._workspace is None:
            raise RuntimeError("the sandbox is not open")
        return self._workspace

    async def _look(self) -> None:
        if self._workspace is not None:
            self._changes = await self._workspace.changes()
            self._patch = make_patch(self._changes.before, self._changes.after)

    def _answered(
        self,
        expected: str,
        got: str,
        expected_exit: int | None = None,
        exit_: int | None = None,
        cpu_seconds: float | None = None,
        *,
        ordered: bool = True,
        not_compared: tuple[str, ...] = (),
        not_replayed: str = "",
    ) -> Answer:
        tree, diff = self._changes.tree, self._patch
        return Answer(expected, got, expected_exit, exit_, tree, diff, cpu_seconds, ordered, not_compared, not_replayed)

    def _unheard(self, turn: Turn, *left: str) -> Answer:
        """An answer of the scaffold's own, which no sandbox gives."""
        return self._answered(turn.observation, "", turn.exit_code, not_compared=left)

    def _unplayed(self, turn: Turn, why: str) -> Answer:
        return self._answered(turn.observation, "", turn.exit_code, not_replayed=why)
