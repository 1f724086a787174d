"""An agent that plays actions from a script, through the same environment and into the same records.

Invariant: its trajectories differ from a policy's only in that nothing was sampled: with a chat the turns hold the
token ids that a policy would have had to sample, with log-probabilities of zero.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

from agents.chat import Chat, PolicyError
from agents.episode import NOTHING_SAMPLED, Episode
from agents.protocol import Completion, Engine
from agents.toolformat import FORMATS
from envs.swe import SWEEnv
from envs.task import TaskInstance
from envs.tools import Action
from sandbox.protocol import SandboxError
from trajectories.records import Trajectory

Script = Callable[[TaskInstance], Generator[Action, str, None]]
"""Yields the actions of one episode; each `yield` gives the observation. Its end ends the episode, unsubmitted."""


class ScriptedExpert:
    """Plays a script. With a chat, turns carry token ids in its tool format; without, text only."""

    def __init__(self, chat: Chat | None, script: Script, *, name: str = "expert") -> None:
        self.chat = chat
        self.script = script
        self.name = name

    async def run(
        self, env: SWEEnv, task: TaskInstance, engine: Engine | None = None, *, group: str = ""
    ) -> Trajectory:
        """Play one episode of the task; see `Agent.run`. Needs no engine."""
        episode = Episode(self.name, env, task, group)
        try:
            await self._play(episode)
            return await episode.finish()
        except (SandboxError, PolicyError) as error:
            return episode.fail(error)

    async def _play(self, episode: Episode) -> None:
        statement = await episode.reset()
        prompt = self.chat.opening(statement) if self.chat else []
        script = self.script(episode.task)
        action = next(script, None)
        while action is not None:
            started = time.perf_counter()
            text, completion = self._say(action)
            observation = await episode.act(
                action, text=text, prompt_ids=prompt, completion=completion, started=started
            )
            if episode.done:  # nobody reads the last observation, so it need not be one that can be rendered
                return
            prompt = self.chat.observation(observation) if self.chat else []
            try:
                action = script.send(observation)
            except StopIteration:
                action = None

    def _say(self, action: Action) -> tuple[str, Completion]:
        """What a policy would have said to act like this."""
        if self.chat is None:
            return FORMATS["hermes"].render(action), NOTHING_SAMPLED
        text = self.chat.tool_format.render(action)
        ids = [*self.chat.encode(text), self.chat.end_of_turn]
        return text, Completion(ids, [0.0] * len(ids), "stop", 0)
