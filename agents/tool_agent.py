"""The tool-calling loop: the policy speaks, the environment answers, until one of them ends it.

Invariant: the context that the engine gets is the concatenation of the recorded token ids of all turns so far plus the
next prompt, so that the trajectory holds exactly what the policy saw and sampled. No two episodes of an agent have the
same session, and so the same random numbers; `extra["session"]` names an episode's.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable

from agents.chat import Chat, PolicyError
from agents.episode import Episode
from agents.protocol import Engine, EngineError, Sampling
from envs.swe import SWEEnv
from envs.task import TaskInstance
from sandbox.protocol import SandboxError
from trajectories.records import Trajectory


class ToolAgent:
    """Plays episodes with a policy. One object plays any number of them at the same time."""

    name = "tools"

    def __init__(self, chat: Chat, sampling: Sampling, *, played: Iterable[str] = ()) -> None:
        """`played`: sessions of episodes that exist already; those are passed over."""
        self.chat = chat
        self.sampling = sampling
        self._sessions = set(played)

    async def run(self, env: SWEEnv, task: TaskInstance, engine: Engine | None, *, group: str = "") -> Trajectory:
        """Play one episode of the task; see `Agent.run`."""
        if engine is None:
            raise ValueError("the tool-calling agent needs an engine")
        episode = Episode(self.name, env, task, group)
        session = self._open_session(group)
        try:
            await self._play(episode, engine, session)
            trajectory = await episode.finish()
        except (SandboxError, EngineError, PolicyError) as error:  # a text that cannot be rendered is ours to mend
            trajectory = episode.fail(error)
        finally:
            await engine.close_session(session)
        return trajectory.model_copy(update={"extra": trajectory.extra | {"session": session}})

    def _open_session(self, group: str) -> str:
        """Not a random name: the engine's noise follows from it, so that the same run draws the same tokens."""
        names = (f"{group}#{number}" for number in itertools.count())
        session = next(name for name in names if name not in self._sessions)
        self._sessions.add(session)
        return session

    async def _play(self, episode: Episode, engine: Engine, session: str) -> None:
        await self.go_on(episode, engine, session, [], self.chat.opening(await episode.reset()))

    async def go_on(
        self, episode: Episode, engine: Engine, session: str, context: list[int], prompt: list[int]
    ) -> None:
        """Act until the episode ends. `context`: the token ids of all turns so far; `prompt`: what is shown next."""
        context = list(context)
        while len(context) + len(prompt) < engine.max_context:
            started = time.perf_counter()
            completion = await engine.generate(session, context + prompt, self.sampling)
            context += prompt + completion.token_ids
            text = self.chat.decode(completion.token_ids)
            action = self.chat.tool_format.parse(text)
            observation = await episode.act(
                action, text=text, prompt_ids=prompt, completion=completion, started=started
            )
            if episode.done:  # nobody reads the last observation, so it need not be one that can be rendered
                return
            prompt = self.chat.observation(observation, closed=completion.token_ids[-1] == self.chat.end_of_turn)
