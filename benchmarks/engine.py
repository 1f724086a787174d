"""Decoding throughput: the in-process engine beside transformers' own `generate`, on the tiny policy's architecture.

Run it: OMP_NUM_THREADS=1 python -m benchmarks.engine [--json out.json]. Random weights. Tokens per CPU-second of the
process, so that a busy machine distorts less; the best of several runs.

`flat`: every episode takes one turn, all prompts and completions have the same length; `generate`'s best case.
`turns`: episodes of several turns with observations of various lengths; a turn ends when it ends. `generate` gets all
histories anew in each round, padded on the left, and runs until the longest turn has ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from agents import attention
from agents.engine import TransformersEngine
from agents.protocol import Sampling

VOCABULARY = 700
Load = list[list[tuple[int, int]]]
"""Episodes, each a list of turns: (tokens put before the turn, tokens sampled in it)."""


def tiny(dtype: torch.dtype, implementation: str) -> Any:
    attention.register()
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        intermediate_size=256,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    )
    return Qwen3ForCausalLM._from_config(config, attn_implementation=implementation).to(dtype).eval()


def flat(episodes: int) -> Load:
    return [[(128, 64)] for _ in range(episodes)]


def turns(episodes: int) -> Load:
    rng = random.Random(0)
    first = [(100, rng.randint(12, 40)) for _ in range(episodes)]
    rest = [[(rng.choice((8, 20, 90)), rng.randint(12, 40)) for _ in range(4)] for _ in range(episodes)]
    return [[start, *more] for start, more in zip(first, rest, strict=True)]


def with_engine(model: Any, load: Load) -> float:
    engine = TransformersEngine(model, set(), max_context=1024)

    async def play(name: int, episode: list[tuple[int, int]]) -> None:
        ids: list[int] = []
        for before, sampled in episode:
            ids += torch.randint(0, VOCABULARY, (before,)).tolist()
            done = await engine.generate(str(name), ids, Sampling(max_new_tokens=sampled))
            ids += done.token_ids

    async def everything() -> None:
        await asyncio.gather(*(play(i, episode) for i, episode in enumerate(load)))

    started = time.process_time()
    asyncio.run(everything())
    seconds = time.process_time() - started
    engine.close()
    return seconds


@torch.inference_mode()
def with_generate(model: Any, load: Load) -> float:
    histories: list[list[int]] = [[] for _ in load]
    started = time.process_time()
    for round_ in range(len(load[0])):
        for history, episode in zip(histories, load, strict=True):
            history.extend(torch.randint(0, VOCABULARY, (episode[round_][0],)).tolist())
        width = max(map(len, histories))
        ids = torch.tensor([[0] * (width - len(h)) + h for h in histories])
        mask = torch.tensor([[0] * (width - len(h)) + [1] * len(h) for h in histories])
        longest = max(episode[round_][1] for episode in load)
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=True,
            top_k=0,
            min_new_tokens=longest,
            max_new_tokens=longest,
            output_logits=True,  # what log-probabilities are made from
            return_dict_in_generate=True,
            pad_token_id=0,
        )
        for i, (history, episode) in enumerate(zip(histories, load, strict=True)):
            history.extend(output.sequences[i, width : width + episode[round_][1]].tolist())
    return time.process_time() - started


def measure(repeats: int, episodes: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    runners: list[tuple[str, str, Callable[[Any, Load], float]]] = [
        ("engine", "grouped", with_engine),
        ("engine", "sdpa", with_engine),
        ("generate", "sdpa", with_generate),
    ]
    for load_name, load in (("flat", flat(episodes)), ("turns", turns(episodes))):
        sampled = sum(n for episode in load for _, n in episode)
        for dtype in (torch.float32, torch.bfloat16):
            for runner, implementation, run in runners:
                model = tiny(dtype, implementation)
                best = min(run(model, load) for _ in range(repeats))
                rows.append(
                    {
                        "load": load_name,
                        "dtype": str(dtype).removeprefix("torch."),
                        "runner": f"{runner} ({implementation})",
                        "episodes": episodes,
                        "sampled": sampled,
                        "tokens_per_cpu_second": round(sampled / best),
                    }
                )
                print(
                    "{load:6} {dtype:9} {runner:19} {tokens_per_cpu_second:7} tok/CPU-s".format(**rows[-1]), flush=True
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many is shown")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = measure(given.repeats, given.episodes)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
