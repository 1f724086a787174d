"""`contextrl probe`: does a model name the context that supports an answer?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from contextrl.cli import show

if TYPE_CHECKING:
    from contextrl.probe.options import ProbeOptions

Models = Annotated[
    list[str],
    typer.Option(
        help="tiny, a folder, a hub name, vllm:http://HOST:PORT#MODEL, openai:http://HOST/v1#MODEL, or replay:FILE. "
        "Several are compared with the first."
    ),
]
Pairs = Annotated[list[str], typer.Option(help="A run or a set in the store, a file of pairs, or heldout:RECIPE.")]
Out = Annotated[Path, typer.Option(help="Folder of the results; where a probe goes on.")]
Replace = Annotated[bool, typer.Option("--replace", help="Another probe in that folder gives way.")]
Orders = Annotated[
    Literal["both", "balanced"], typer.Option(help="Every pair in both letter orders, or half of them in each.")
]
Judged = Annotated[
    Literal["valid", "uncertain", "invalid", "any"], typer.Option(help="Only pairs that were judged so.")
]
Judge = Annotated[
    str, typer.Option(help="rules, or openai:URL#MODEL: judge first, and leave out what is found invalid.")
]
Tasks = Annotated[list[str] | None, typer.Option(help="Task sets of the pairs: they know how each bug was made.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many pairs of each set, at random.")]
Seed = Annotated[int, typer.Option(help="Of --limit and --orders balanced.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Longest prompt; by default what the model takes.")]
Whole = Annotated[bool, typer.Option("--whole", help="Leave out pairs that are too long instead of cutting them.")]
Device = Annotated[str, typer.Option(help="Of a model in this process: auto, cpu, cuda, cuda:1.")]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(help="Of the same; auto: float32 on a CPU, bfloat16 on a GPU."),
]
BatchTokens = Annotated[int, typer.Option(min=1, help="Of the same: most padded tokens in one pass.")]
Tokenizer = Annotated[str | None, typer.Option(help="Where a vLLM's tokenizer is, if not where it says.")]
ReplyTokens = Annotated[int, typer.Option(min=1, help="Most tokens that an API model writes.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Requests at a time.")]
Store = Annotated[str, typer.Option(help="Path or URL of the store.", envvar="CONTEXTRL_STORE")]


def probe(
    model: Models,
    pairs: Pairs,
    out: Out = Path("runs/probe"),
    replace: Replace = False,
    orders: Orders = "both",
    judgement: Judged = "valid",
    judge: Judge = "",
    tasks: Tasks = None,
    limit: Limit = None,
    seed: Seed = 0,
    max_tokens: MaxTokens = None,
    whole: Whole = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_tokens: BatchTokens = 8192,
    tokenizer: Tokenizer = None,
    reply_tokens: ReplyTokens = 256,
    concurrency: Concurrency = 8,
    store: Store = "runs/trajectories.db",
) -> None:
    """Measure selection accuracy: which of two contexts supports this answer?"""
    from contextrl.probe.options import ProbeOptions, SelectorOptions

    how = SelectorOptions(device, dtype, max_tokens, not whole, batch_tokens, tokenizer, reply_tokens, concurrency)
    options = ProbeOptions(
        models=tuple(model),
        sets=tuple(pairs),
        out=out,
        store=store,
        judgement=judgement,
        judge=judge,
        tasks=tuple(tasks or ()),
        limit=limit,
        seed=seed,
        orders=orders,
        replace=replace,
        selector=how,
    )
    _run(options)


def _run(options: ProbeOptions) -> None:
    """Probe, with progress, and print the table."""
    from rich.console import Console

    from contextrl.probe.probe import probe as run
    from contextrl.probe.table import result_renderable
    from contextrl.progress import open_progress

    with open_progress() as progress:
        result = run(options, progress)
    Console().print(result_renderable(result))
    typer.echo(f"{show.plain(str(options.out))}: probe.json, predictions.jsonl, plot.svg")
