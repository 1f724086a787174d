"""Between text and token ids, by the model's own chat template.

Invariant: a conversation is one growing sequence of tokens. What was sampled is never rendered or tokenised again: each
observation is rendered behind a fixed stand-in for the history, and only what comes after the stand-in's end-of-turn
token is tokenised. So templates that change earlier turns (Qwen3's strips their thinking) change nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agents.toolformat import ToolFormat
from envs.tools import TOOLS

Message = dict[str, str]
STAND_IN = "stand-in-for-the-turn"
PROBE = "probe-of-the-observation"


class PolicyError(ValueError):
    """A checkpoint cannot be used as a policy; the message is one sentence that says why and what to do."""


class Chat:
    """The wrapping of one conversation with the environment.

    `end_of_turn` is the token that closes a turn in the template; `stop_ids` are those at which sampling ends.
    """

    def __init__(
        self,
        tokenizer: Any,
        tool_format: ToolFormat,
        system: str | None = None,
        *,
        tools: Sequence[Mapping[str, Any]] = tuple(TOOLS),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """`options` go to the template as they are, e.g. `{"enable_thinking": False}`. Raises `PolicyError`."""
        if not getattr(tokenizer, "chat_template", None):
            raise PolicyError(
                "the checkpoint has no chat template: use an instruction-tuned one, or put a chat_template.jinja in "
                "its folder"
            )
        self.tokenizer = tokenizer
        self.tool_format = tool_format
        self._system: list[Message] = [{"role": "system", "content": system}] if system else []
        self._tools = [dict(tool) for tool in tools] or None
        self._options = dict(options or {})
        added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
        self._special: list[str] = list({*added, *tokenizer.all_special_tokens})
        self._role = "tool" if self._renders("tool") else "user"
        self._end_text = self._find_end()
        self.end_of_turn: int = tokenizer.convert_tokens_to_ids(self._end_text)
        self._before = self._behind(PROBE)[1]
        self.stop_ids: set[int] = {self.end_of_turn} | ({tokenizer.eos_token_id} - {None})

    def opening(self, problem_statement: str) -> list[int]:
        """The prompt of turn 0, up to where the policy begins to speak."""
        messages = [*self._system, {"role": "user", "content": problem_statement}]
        return self._encode(self._render(messages), problem_statement)

    def observation(self, text: str, *, closed: bool = True) -> list[int]:
        """What stands between a sampled turn and the next one.

        `closed` is False for a turn that did not end with the end-of-turn token: that token then comes first.
        """
        rendered, before = self._behind(text)
        if before != self._before:
            raise PolicyError("the chat template renders an earlier turn differently depending on the observation")
        return [self.end_of_turn] * (not closed) + self._encode(rendered[len(before) :], text)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text as it is."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a turn, without the token that ended it."""
        ended = bool(ids) and ids[-1] in self.stop_ids
        said = list(ids[:-1] if ended else ids)
        return str(self.tokenizer.decode(said, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _render(self, messages: Sequence[Message]) -> str:
        try:
            text = self.tokenizer.apply_chat_template(
                list(messages), tools=self._tools, tokenize=False, add_generation_prompt=True, **self._options
            )
        except Exception as error:  # a template raises what it likes
            roles = ", ".join(message["role"] for message in messages)
            raise PolicyError(f"the chat template cannot render the roles {roles}: {error}") from error
        return str(text)

    def _behind(self, observation: str) -> tuple[str, str]:
        """The stand-in conversation with this observation, and its part up to the stand-in's end of turn."""
        rendered = self._render(self._dummy(self._role, observation))
        at = rendered.index(STAND_IN) + len(STAND_IN)
        return rendered, rendered[: rendered.index(self._end_text, at) + len(self._end_text)]

    def _dummy(self, role: str, observation: str) -> list[Message]:
        turn = {"role": "assistant", "content": STAND_IN}
        return [*self._system, {"role": "user", "content": "-"}, turn, {"role": role, "content": observation}]

    def _renders(self, role: str) -> bool:
        """Whether the template knows this role."""
        try:
            return PROBE in self._render(self._dummy(role, PROBE))
        except PolicyError:
            return False

    def _find_end(self) -> str:
        """The special token that the template puts behind an assistant's turn."""
        rendered = self._render(self._dummy(self._role, PROBE))
        _, found, rest = rendered.partition(STAND_IN)
        places = {rest.find(token): token for token in self._special if token in rest[: rest.find(PROBE)]}
        if not found or not places:
            raise PolicyError(
                "the chat template does not close an assistant's turn with a special token, so no turn could end"
            )
        return places[min(places)]

    def _encode(self, text: str, foreign: str) -> list[int]:
        """Token ids of rendered text; special tokens spelled out in its `foreign` part stay plain text.

        A file that contains `<|im_end|>` must not be able to end a turn.
        """
        if not any(token in foreign for token in self._special):
            return self.encode(text)
        shown = next((form for form in (foreign, foreign.strip(), json.dumps(foreign)) if form in text), None)
        if shown is None:
            raise PolicyError("the chat template rewrites text that contains one of the model's special tokens")
        head, _, tail = text.partition(shown)
        inside = self.tokenizer.encode(shown, add_special_tokens=False, split_special_tokens=True)
        return [*self.encode(head), *inside, *self.encode(tail)]
