"""Bugs and problem statements by a language model behind any endpoint that speaks OpenAI's chat protocol.

Invariant: what a model answers is only ever a candidate or a draft: tests validate the one, a check for hidden lines
the other. Combining bugs, and mirroring a commit whose inverse applies, need no model.
"""

from envs.synthesis.llm.bugs import modify, rewrite
from envs.synthesis.llm.client import ChatModel, ModelConfig, ModelError, Usage
from envs.synthesis.llm.combine import combine
from envs.synthesis.llm.commits import MirrorError, past_commits
from envs.synthesis.llm.mirror import mirror
from envs.synthesis.llm.statement import describe

__all__ = [
    "ChatModel",
    "MirrorError",
    "ModelConfig",
    "ModelError",
    "Usage",
    "combine",
    "describe",
    "mirror",
    "modify",
    "past_commits",
    "rewrite",
]
