"""A model in this process: the two option logits at the answer position, by one forward pass.

Invariant: margins are those of training and evaluation (same prompts, same scorer). Memory is bounded by one
micro-batch and one chunk of token ids, however many questions there are.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Sequence

import torch

from agents.policy import load_policy
from contextrl.objectives.pairs import margins, pair_batches
from contextrl.packing import Row
from contextrl.probe.predictions import Question
from contextrl.probe.prompts import Asked, Prompts, chunks
from contextrl.probe.selector import Choice, Dtype, ProbeError, SelectorOptions
from contextrl.scoring import Scorer
from contextrl.start import policy_source

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class LocalSelector:
    """`tiny`, a folder in Hugging Face format, or a name on the hub. Raises `PolicyError`, `ProbeError`."""

    def __init__(self, spec: str, options: SelectorOptions) -> None:
        self.name = spec
        device = find_device(options.device)
        policy = load_policy(policy_source(spec), device=device, dtype=find_dtype(options.dtype, device))
        self._scorer = Scorer(policy.model.eval().requires_grad_(False))
        longest = min(options.max_tokens or policy.max_context, policy.max_context)
        self._prompts = Prompts(policy.tokenizer, longest, cut=options.cut)
        self._batch_tokens = options.batch_tokens

    def answer(self, questions: Sequence[Question]) -> Iterator[Choice]:
        """In micro-batches of like length."""
        for chunk in chunks(questions):
            asked, left_out = self._prompts.of(chunk)
            yield from left_out
            yield from self._choose(asked)

    def _choose(self, asked: Sequence[Asked]) -> Iterator[Choice]:
        of = {(a.prompt.pair_id, a.prompt.anchor_first): a for a in asked}
        for batch in pair_batches([a.prompt for a in asked], self._batch_tokens, self._scorer.device):
            with torch.inference_mode():
                found = margins(self._next_logits(batch.row), batch.letters).tolist()
            for prompt, margin in zip(batch.prompts, found, strict=True):
                if not math.isfinite(margin):
                    raise ProbeError(
                        f"{self.name}: the margin of pair {prompt.pair_id} is {margin}, no number; "
                        "its weights may be damaged, or --dtype float32 may help"
                    )
                yield of[prompt.pair_id, prompt.anchor_first].choice(margin)

    def close(self) -> None:
        """Forget the model, so that the next one finds the memory free."""
        del self._scorer
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _next_logits(self, row: Row) -> torch.Tensor:
        try:
            return self._scorer.next_logits(row)
        except torch.OutOfMemoryError:
            raise ProbeError(
                f"{self.name}: {len(row.paths)} prompts of {len(row):,} tokens do not fit into the memory of "
                f"{row.ids.device}; give smaller --batch-tokens or --max-tokens, or --dtype bfloat16"
            ) from None


def find_device(name: str) -> torch.device:
    """`auto` takes a GPU where there is one. Raises `ProbeError` if the device is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except Exception as error:  # torch raises RuntimeError, AssertionError, NotImplementedError, ...
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ProbeError(f"--device {name}: torch {torch.__version__} cannot use it here ({reason}): use cpu") from None
    return device


def find_dtype(name: Dtype, device: torch.device) -> torch.dtype:
    """`auto`: exact on a CPU, what fits on a GPU."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return DTYPES[name]
