"""Checkpoints: from a folder in Hugging Face format to a policy and back.

Invariant: a policy that loads can do all that the loop asks of it (talk through its chat template, end a turn, answer
a two-way choice by one token); one that cannot is refused here, in one sentence, before anything is computed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from agents import attention
from agents.chat import Chat, PolicyError
from agents.toolformat import FORMATS, detect

PLAIN = {"llama", "mistral", "qwen2", "qwen3"}
"""Architectures with plain softmax attention, for which `agents.attention` may stand in."""


@dataclass(frozen=True)
class Policy:
    """A causal language model, its tokenizer, and how it talks. `letters` are the token ids of `A` and `B`."""

    model: Any
    tokenizer: Any
    chat: Chat
    letters: tuple[int, int]
    source: str

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return torch.device(self.model.device)

    @property
    def max_context(self) -> int:
        """Longest sequence that the architecture was made for, in tokens."""
        return int(self.model.config.get_text_config().max_position_embeddings)


def load_policy(
    source: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    tool_format: str | None = None,
    system: str | None = None,
    template_options: Mapping[str, Any] | None = None,
) -> Policy:
    """Load a folder in Hugging Face format, or a name on the model hub.

    `tool_format` is read off the chat template unless given; `template_options` go to the template, e.g.
    `{"enable_thinking": False}`. Raises `PolicyError`.
    """
    _check_folder(str(source))
    kind = torch.device(device).type
    with _quiet():
        config = _load(AutoConfig, source)
        tokenizer = _load(AutoTokenizer, source)
        implementation = _attention(config.model_type, kind)
        model, found = _load(
            AutoModelForCausalLM,
            source,
            config=config,
            dtype=dtype,
            attn_implementation=implementation,
            ignore_mismatched_sizes=True,  # told below, in one sentence
            output_loading_info=True,
        )
    _check_weights(model, found, len(tokenizer), source)
    return make_policy(
        model.to(device), tokenizer, source, tool_format=tool_format, system=system, template_options=template_options
    )


def make_policy(
    model: Any,
    tokenizer: Any,
    source: str | Path,
    *,
    tool_format: str | None = None,
    system: str | None = None,
    template_options: Mapping[str, Any] | None = None,
) -> Policy:
    """A policy of a model and a tokenizer that are in memory. Raises `PolicyError`."""
    name = tool_format or detect(str(tokenizer.chat_template))
    if name not in FORMATS:
        raise PolicyError(f"policy {source}: no tool format {name!r}; choose one of {', '.join(FORMATS)}")
    try:
        chat = Chat(tokenizer, FORMATS[name], system, options=template_options)
    except PolicyError as error:
        raise PolicyError(f"policy {source}: {error}") from error
    ends = getattr(model.generation_config, "eos_token_id", None)
    chat.stop_ids |= set(ends if isinstance(ends, list) else [ends]) - {None}
    return Policy(model, tokenizer, chat, _letters(tokenizer, source), str(source))


def save_policy(policy: Policy, folder: Path, weights: Mapping[str, torch.Tensor] | None = None) -> None:
    """Write a checkpoint in Hugging Face format. The folder appears, or is replaced, only when all is written.

    `weights`: what is written in place of the model's own.
    """
    folder = folder.absolute()
    new, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{word}") for word in ("new", "old"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _quiet():
            policy.model.save_pretrained(new, **({} if weights is None else {"state_dict": dict(weights)}))
            policy.tokenizer.save_pretrained(new)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _check_folder(source: str) -> None:
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise PolicyError(f"policy {source}: the folder has no config.json; give a model in Hugging Face format")
    elif folder.exists() or source.startswith(("/", ".", "~")) or source.count("/") != 1:
        raise PolicyError(f"policy {source}: there is no such folder")


def _check_weights(model: Any, found: Mapping[str, Any], tokens: int, source: str | Path) -> None:
    """Nothing may be made up for weights that are absent, of another shape, or not numbers."""
    missing = sorted({*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])})
    broken = missing or [name for name, p in model.named_parameters() if not bool(torch.isfinite(p).all())]
    if broken:
        what = "are absent or have another shape than its config.json says" if missing else "are not finite numbers"
        raise PolicyError(
            f"policy {source}: {len(broken)} of its weights {what}, the first is {broken[0]}; use a whole checkpoint"
        )
    rows = model.get_input_embeddings().weight.shape[0]
    if tokens > rows:
        raise PolicyError(
            f"policy {source}: its tokenizer has {tokens} tokens and its model only {rows}; "
            "use the tokenizer that the model was trained with"
        )


def _attention(model_type: str, device: str) -> str:
    """Ours where it may stand in: it takes rows of several sequences, and SDPA's backward pass is slow on a CPU."""
    if model_type not in PLAIN:
        return "eager" if device == "cpu" else "sdpa"
    attention.register()
    return attention.GROUPED if device == "cpu" else attention.PACKED


def _letters(tokenizer: Any, source: str | Path) -> tuple[int, int]:
    """Token ids of the answers of a two-way choice."""
    a, b = (tokenizer.encode(letter, add_special_tokens=False) for letter in "AB")
    unknown = tokenizer.unk_token_id
    if len(a) != 1 or len(b) != 1 or a == b or unknown in (a[0], b[0]):
        raise PolicyError(
            f'policy {source}: its tokenizer has no single token for each of "A" and "B", which the two-way choice '
            "between contexts needs; use another checkpoint"
        )
    return a[0], b[0]


def _load(kind: Any, source: str | Path, **options: Any) -> Any:
    """`from_pretrained`, with its many kinds of failure as one sentence."""
    try:
        local = Path(source).expanduser()
        return kind.from_pretrained(str(local if local.is_dir() else source), **options)
    except Exception as error:  # transformers raises OSError, ValueError, KeyError, ... for the same thing
        what = {AutoConfig: "configuration", AutoTokenizer: "tokenizer"}.get(kind, "weights")
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        hint = "" if Path(source).expanduser().is_dir() else " (a local folder in Hugging Face format works too)"
        raise PolicyError(f"policy {source}: its {what} cannot be loaded: {reason.rstrip('.')}{hint}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' own progress bars."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
