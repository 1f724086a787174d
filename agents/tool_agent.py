"""The tool-calling loop: the policy speaks, the environment answers, until one of them ends it.

Invariant: the context that the engine gets is the concatenation of the recorded token ids of all turns so far plus the
next prompt, so that the trajectory holds exactly what the policy saw and sampled.
"""

from __future__ import annotations

import time
from collections import Counter

from agents.chat import Chat
from agents.episode import Episode
from agents.protocol import Engine, EngineError, Sampling
from envs.swe import SWEEnv
from envs.task import TaskInstance
from sandbox.protocol import SandboxError
from trajectories.records import Trajectory


class ToolAgent:
    """Plays episodes with a policy. One object plays any number of them at the same time."""

    name = "tools"

    def __init__(self, chat: Chat, sampling: Sampling) -> None:
        self.chat = chat
        self.sampling = sampling
        self._played: Counter[str] = Counter()

    async def run(self, env: SWEEnv, task: TaskInstance, engine: Engine | None, *, group: str = "") -> Trajectory:
        """Play one episode of the task; see `Agent.run`."""
        if engine is None:
            raise ValueError("the tool-calling agent needs an engine")
        episode = Episode(self.name, env, task, group)
        # Not a random name: the engine's noise follows from it, so that the same run draws the same tokens.
        session = f"{group}#{self._played[group]}"
        self._played[group] += 1
        try:
            await self._play(episode, engine, session)
            return await episode.finish()
        except (SandboxError, EngineError) as error:
            return episode.fail(error)
        finally:
            await engine.close_session(session)

    async def _play(self, episode: Episode, engine: Engine, session: str) -> None:
        context: list[int] = []
        prompt = self.chat.opening(await episode.reset())
        while not episode.done and len(context) + len(prompt) < engine.max_context:
            started = time.perf_counter()
            completion = await engine.generate(session, context + prompt, self.sampling)
            context += prompt + completion.token_ids
            text = self.chat.decode(completion.token_ids)
            action = self.chat.tool_format.parse(text)
            observation = await episode.act(
                action, text=text, prompt_ids=prompt, completion=completion, started=started
            )
            prompt = self.chat.observation(observation, closed=completion.token_ids[-1] == self.chat.end_of_turn)
