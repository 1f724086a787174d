"""`contextrl probe`: does a model name the context that supports an answer?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from contextrl.cli import show

if TYPE_CHECKING:
    from trajectories.protocol import PairJudge


def probe(
    model: Annotated[
        list[str],
        typer.Option(
            help="tiny, a folder, a hub name, vllm:http://HOST:PORT#MODEL, openai:http://HOST/v1#MODEL, or "
            "replay:FILE. Several are compared with the first."
        ),
    ],
    pairs: Annotated[list[str], typer.Option(help="A run in the store, a file of pairs, or heldout:RECIPE.")],
    out: Annotated[Path, typer.Option(help="Folder of the results; where a probe goes on.")] = Path("runs/probe"),
    replace: Annotated[bool, typer.Option("--replace", help="Another probe in that folder gives way.")] = False,
    orders: Annotated[
        Literal["both", "balanced"], typer.Option(help="Every pair in both letter orders, or half of them in each.")
    ] = "both",
    judgement: Annotated[
        Literal["valid", "uncertain", "invalid", "any"], typer.Option(help="Only pairs that were judged so.")
    ] = "valid",
    judge: Annotated[
        str, typer.Option(help="rules, or openai:URL#MODEL: judge first, and leave out what is found invalid.")
    ] = "",
    tasks: Annotated[
        list[str] | None, typer.Option(help="Task sets of the pairs: they know how each bug was made.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many pairs of each set, at random.")] = None,
    seed: Annotated[int, typer.Option(help="Of --limit and --orders balanced.")] = 0,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest prompt; by default what the model takes.")
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Leave out pairs that are too long instead of cutting them.")
    ] = False,
    device: Annotated[str, typer.Option(help="Of a model in this process: auto, cpu, cuda, cuda:1.")] = "auto",
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option(help="Of the same; auto: float32 on a CPU, bfloat16 on a GPU."),
    ] = "auto",
    batch_tokens: Annotated[int, typer.Option(min=1, help="Of the same: most padded tokens in one pass.")] = 8192,
    tokenizer: Annotated[str | None, typer.Option(help="Where a vLLM's tokenizer is, if not where it says.")] = None,
    reply_tokens: Annotated[int, typer.Option(min=1, help="Most tokens that an API model writes.")] = 256,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 8,
    store: Annotated[
        str, typer.Option(help="Path or URL of the store.", envvar="CONTEXTRL_STORE")
    ] = "runs/trajectories.db",
) -> None:
    """Measure selection accuracy: which of two contexts supports this answer?"""
    from rich.console import Console

    from contextrl.probe.plot import plot
    from contextrl.probe.probe import ProbeOptions
    from contextrl.probe.probe import probe as run
    from contextrl.probe.selector import SelectorOptions
    from contextrl.probe.table import result_renderable
    from contextrl.progress import open_progress

    how = SelectorOptions(
        device=device,
        dtype=dtype,
        max_tokens=max_tokens,
        cut=not whole,
        batch_tokens=batch_tokens,
        tokenizer=tokenizer,
        reply_tokens=reply_tokens,
        concurrency=concurrency,
    )
    options = ProbeOptions(
        models=tuple(model),
        sets=tuple(pairs),
        out=out,
        store=store,
        judgement=judgement,
        judge=judge,
        limit=limit,
        seed=seed,
        orders=orders,
        replace=replace,
        selector=how,
    )
    kinds = _kinds(tasks or [])
    with open_progress() as progress:
        result = run(options, kinds, _judge(judge, out / "judge", concurrency), progress)
    (out / "plot.svg").write_text(plot(result), encoding="utf-8")
    Console().print(result_renderable(result))
    typer.echo(f"{show.plain(str(out))}: probe.json, predictions.jsonl, plot.svg")


def _kinds(tasksets: list[str]) -> dict[str, str]:
    """Instance id -> how its bug was made."""
    if not tasksets:
        return {}
    from envs.tasksets.registry import find_taskset

    return {task.instance_id: task.kind for name in tasksets for task in find_taskset(name) if task.kind}


def _judge(name: str, cache: Path, concurrency: int) -> PairJudge | None:
    from trajectories.judging import judge_from

    return judge_from(name, cache=cache, concurrency=concurrency) if name else None
