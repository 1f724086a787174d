"""`contextrl tasks make`: what is asked for.

Invariant: everything that is asked for is checked before any sandbox or model is.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contextrl.cli import show

if TYPE_CHECKING:
    from envs.synthesis.llm.client import ModelConfig

MOST_COMMITS = 500


class Suite(StrEnum):
    """Which tests validate a bug."""

    full = "full"
    near = "near"


class Strategy(StrEnum):
    """Where bugs come from."""

    procedural = "procedural"
    modify = "modify"
    rewrite = "rewrite"
    mirror = "mirror"
    combine = "combine"


def make(
    repo: Annotated[str, typer.Argument(help="A repository that is ready: see `contextrl repo ls`.")],
    bugs: Annotated[int, typer.Option(min=1, help="Tasks to make; fewer where there are no more.")] = 200,
    per_function: Annotated[int, typer.Option(min=1, help="Different bugs of one function, by each strategy.")] = 4,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    suite: Annotated[
        Suite, typer.Option(help="full: all tests run once for each bug. near: only test classes near its function.")
    ] = Suite.full,
    style: Annotated[
        str, typer.Option(help="Of problem statements: terse, issue, traceback, test, or mixed.")
    ] = "terse",
    strategy: Annotated[
        list[Strategy] | None, typer.Option(help="How bugs are made, in equal shares; may be repeated.")
    ] = None,
    commits: Annotated[
        str, typer.Option(help=f"GIT_FOLDER[@RANGE]: what to mirror, of HEAD or a range the last {MOST_COMMITS}.")
    ] = "",
    describe: Annotated[bool, typer.Option("--describe", help="The model writes the problem statements.")] = False,
    model: Annotated[str, typer.Option(help="A language model, as its endpoint names it.")] = "",
    model_url: Annotated[
        str, typer.Option(help="Its OpenAI-compatible endpoint, with the version: http://localhost:8000/v1.")
    ] = "",
    key_variable: Annotated[
        str, typer.Option(help="The environment variable that holds the endpoint's key.")
    ] = "OPENAI_API_KEY",
    input_price: Annotated[float, typer.Option(min=0, help="Of a million tokens, to tell the cost.")] = 0.0,
    output_price: Annotated[float, typer.Option(min=0, help="Of a million tokens, to tell the cost.")] = 0.0,
    out: Annotated[Path | None, typer.Option(help="Also write the task set into this folder.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="A task set in that folder gives way.")] = False,
    backend: Annotated[str, typer.Option(help="auto, docker or local.")] = "auto",
) -> None:
    """Make task instances from a repository: bugs, each validated by running its tests.

    An interrupted making goes on where it was: give the same command again.
    """
    from contextrl.cli.making import make_tasks, summary
    from envs.repos import load_profile
    from envs.synthesis.options import TaskOptions, is_generated

    if out is not None and out.exists() and not replace:
        raise ValueError(f"{out} is there already: give another --out, or --replace it")
    strategies = tuple(dict.fromkeys(chosen.value for chosen in strategy or [Strategy.procedural]))
    if commits and Strategy.mirror not in strategies:
        raise ValueError("--commits says what the strategy mirror takes back: add --strategy mirror")
    profile = load_profile(repo)
    history, hashes = _history(commits) if commits else (None, ())
    given = {"bugs": bugs, "per_function": per_function, "seed": seed, "suite": suite.value, "style": style}
    more = {"strategies": strategies, "describe": describe, "history": history, "commits": hashes}
    asked = _model(model, model_url, key_variable, input_price, output_price)
    options = TaskOptions(**given, **more, model=asked)  # type: ignore[arg-type]  # a style that there is not is refused
    options.check(is_generated(profile))
    show.facts(summary(*make_tasks(profile, options, backend, out)))


def _history(commits: str) -> tuple[Path, tuple[str, ...]]:
    """The checkout that is meant, and the hashes of the last commits of the range."""
    from envs.synthesis.llm.commits import past_commits

    folder, _, wanted = (commits, "", "") if Path(commits).is_dir() else commits.rpartition("@")
    if not Path(folder or commits).is_dir():
        raise ValueError(f"there is no folder {folder or commits}: --commits takes GIT_FOLDER or GIT_FOLDER@RANGE")
    found = asyncio.run(past_commits(Path(folder), wanted or "HEAD"))
    return Path(folder).resolve(), found[:MOST_COMMITS]


def _model(model: str, url: str, key_variable: str, input_price: float, output_price: float) -> ModelConfig | None:
    if not model and not url:
        return None
    if not model or not url:
        raise ValueError("a language model takes both --model and --model-url")
    from envs.synthesis.llm.client import ModelConfig

    prices = {"input_price": input_price, "output_price": output_price}
    return ModelConfig.model_validate({"base_url": url, "model": model, "key_variable": key_variable, **prices})
