"""Who is asked: the protocol of a selector, and how one is found by the scheme of its name.

Invariant: the rest of the probe knows a model only through `Selector`. `tiny`, a folder and a name on the hub need no
scheme; `SCHEME:REST` is looked up among ours and then among the entry points of the group `contextrl.selectors`, each a
function `(name, options) -> Selector`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal, Protocol

from contextrl.probe.predictions import Letter, Question

GROUP = "contextrl.selectors"
Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class ProbeError(ValueError):
    """The probe cannot be made as asked; the message is one sentence that says why and what to do."""


@dataclass(frozen=True)
class Choice:
    """What a selector made of a question; the fields are those of `Prediction`."""

    question: Question
    margin: float | None = None
    letter: Letter | None = None
    text: str = ""
    left_out: str = ""
    cut: str = ""


@dataclass(frozen=True)
class SelectorOptions:
    """What a user may say about how models are asked."""

    device: str = "auto"
    dtype: Dtype = "auto"
    """Of a model in this process; auto: float32 on a CPU, bfloat16 on a GPU."""
    max_tokens: int | None = None
    """Longest prompt; None: as long as the model takes."""
    cut: bool = True
    """Cut the contexts of a pair that is too long; otherwise it is left out."""
    batch_tokens: int = 8192
    """Most padded tokens in one forward pass of a model in this process."""
    tokenizer: str | None = None
    """Folder or hub name, for servers that do not say where theirs lies."""
    reply_tokens: int = 256
    """Most tokens that a model writes where a letter is read off its text."""
    concurrency: int = 8
    """Requests at a time."""


class Selector(Protocol):
    """One model."""

    name: str
    """What it is called in results."""

    def answer(self, questions: Sequence[Question]) -> Iterator[Choice]:
        """Each question once, in any order, as answers come.

        Raises `ValueError` when the model cannot go on; what came before stays, and is not asked again.
        """

    def close(self) -> None:
        """Give back memory and connections."""


Factory = Callable[[str, SelectorOptions], Selector]


def open_selector(spec: str, options: SelectorOptions) -> Selector:
    """The selector that a `--model` names. Raises `ProbeError`, and what loading a model raises."""
    return find_factory(spec)(spec, options)


def identity(spec: str) -> str:
    """What a resumed probe compares: sizes and times of the files that a name stands for; else the name alone."""
    files: list[Path] = []
    if spec.startswith("replay:"):
        files = [Path(spec.removeprefix("replay:").partition("#")[0]).expanduser()]
    elif ":" not in spec or Path(spec).expanduser().is_dir():
        from contextrl.start import policy_source

        files = sorted(Path(policy_source(spec)).expanduser().glob("*"))
    about = ((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file())
    return "; ".join(f"{name} {size} {time}" for name, size, time in about) or spec


def find_factory(spec: str) -> Factory:
    """What opens it. Raises `ProbeError`."""
    scheme, colon, _ = spec.partition(":")
    if not spec.strip():
        raise ProbeError("no model is named: --model tiny, a folder, a hub name, vllm:..., openai:... or replay:FILE")
    if not colon or Path(spec).expanduser().is_dir():
        return _local
    if scheme in OURS:
        return OURS[scheme]
    found = [point for point in entry_points(group=GROUP) if point.name == scheme]
    if found:
        loaded: Factory = found[0].load()
        return loaded
    known = ", ".join(f"{name}:" for name in (*OURS, *sorted(p.name for p in entry_points(group=GROUP))))
    raise ProbeError(f"--model {spec}: there is no scheme {scheme!r}; use tiny, a folder, a hub name, or {known}")


def _local(spec: str, options: SelectorOptions) -> Selector:
    from contextrl.probe.local import LocalSelector

    return LocalSelector(spec, options)


def _vllm(spec: str, options: SelectorOptions) -> Selector:
    from contextrl.probe.vllm import VllmSelector

    return VllmSelector(spec, options)


def _chat(spec: str, options: SelectorOptions) -> Selector:
    from contextrl.probe.chat import ChatSelector

    return ChatSelector(spec, options)


def _replay(spec: str, options: SelectorOptions) -> Selector:
    from contextrl.probe.replay import ReplaySelector

    return ReplaySelector(spec)


OURS: dict[str, Factory] = {"vllm": _vllm, "openai": _chat, "replay": _replay}
