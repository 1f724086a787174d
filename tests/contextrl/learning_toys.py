"""Small models, tokenizers and records for the tests of the learning code."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from trajectories.records import (
    ContextPair,
    ContextTurn,
    MaskedContext,
    ToolCall,
    Trajectory,
    Turn,
)

TEMPLATE = (
    "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% if enable_thinking is false %}<think></think>{% endif %}{% endif %}"
)


def tiny_qwen3(vocabulary: int = 64, seed: int = 0) -> Qwen3ForCausalLM:
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=64,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    return Qwen3ForCausalLM(config).eval()


class DoubleModel(nn.Module):
    """A causal model wholly in float64 (transformers' norms compute in float32): exact enough for differences."""

    def __init__(self, vocabulary: int = 7, width: int = 5) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)

        def weight(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator, dtype=torch.float64))

        self.embedding, self.mix = weight(vocabulary, width), weight(width, width)
        self.head = nn.Linear(width, vocabulary, bias=False, dtype=torch.float64)
        self.head.weight = weight(vocabulary, width)

    @property
    def base_model(self):
        return self.hidden

    def hidden(self, input_ids, use_cache=False):
        x = self.embedding[input_ids]
        steps = torch.arange(1, x.shape[1] + 1, dtype=x.dtype)[:, None]
        return SimpleNamespace(last_hidden_state=torch.tanh((x.cumsum(1) / steps) @ self.mix + x))

    def get_output_embeddings(self):
        return self.head

    def forward(self, input_ids, use_cache=False, logits_to_keep=slice(None)):
        return SimpleNamespace(logits=self.head(self.hidden(input_ids).last_hidden_state[:, logits_to_keep]))


def directional_difference(loss, model: nn.Module, epsilon: float = 1e-6) -> tuple[float, float]:
    """The derivative of `loss()` along a random direction of the weights: by autograd, by central differences."""
    generator = torch.Generator().manual_seed(11)
    parameters = list(model.parameters())
    directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    model.zero_grad()
    loss().backward()
    exact = sum(float((p.grad * d).sum()) for p, d in zip(parameters, directions, strict=True))
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.add_(d, alpha=sign * epsilon)
        values.append(float(loss().detach()))
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.sub_(d, alpha=sign * epsilon)
    return exact, (values[0] - values[1]) / (2 * epsilon)


def gradient(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def trajectory(
    reward: float | None,
    turns: list[tuple[list[int], list[int], list[float]]],
    group: str = "g",
) -> Trajectory:
    """Turns are (prompt ids, completion ids, log-probabilities)."""
    return Trajectory(
        group=group,
        instance_id="task",
        repo="r",
        base_commit="0" * 40,
        problem_statement="fix",
        turns=[
            Turn(prompt_ids=p, completion_ids=c, logprobs=lp, tool_call=ToolCall(name="view")) for p, c, lp in turns
        ],
        reward=reward,
        status="infra_error" if reward is None else "submitted",
    )


def pair(name: str = "p", stage: str = "function", similarity: float = 1.0, answer: str = "x") -> ContextPair:
    def context(words: str) -> MaskedContext:
        return MaskedContext(
            trajectory_id=words,
            problem_statement="fix it",
            turns=[ContextTurn(text="view", observation=words), ContextTurn(text="<PATCH_MASKED>")],
        )

    return ContextPair(
        id=name,
        repo="r",
        base_commit="0" * 40,
        file="f.py",
        function="f.py::g",
        answer=answer,
        anchor=context(f"good {name}"),
        confounder=context(f"bad {name}"),
        stage=stage,
        similarity=similarity,
    )


def byte_tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """One token for each byte and each special token."""
    special = ["<|user|>", "<|assistant|>", "<|end|>"]
    vocabulary = {t: i for i, t in enumerate([*special, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(special)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    tokenizer.chat_template = template
    return tokenizer
