import pytest
import torch
from learning_toys import gradient, tiny_qwen3
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from agents import attention
from contextrl.packing import pack
from contextrl.scoring import Scorer


def gemma2():
    """Caps its logits after the output layer."""
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=64,
        final_logit_softcapping=0.5,
        initializer_range=0.3,
    )
    return Gemma2ForCausalLM(config).eval()


def gpt2():
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=2, n_positions=32)).eval()


def grouped():
    attention.register()
    model = tiny_qwen3()
    model.set_attn_implementation(attention.GROUPED)
    return model


def packed():
    attention.register()
    model = tiny_qwen3()
    model.set_attn_implementation(attention.PACKED)
    return model


def windowed():
    """Half of its layers see four tokens."""
    attention.register()
    torch.manual_seed(0)
    config = Qwen3Config(
        **{**tiny_qwen3().config.to_dict(), "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
    )
    config.layer_types = ["full_attention", "sliding_attention"]
    return Qwen3ForCausalLM._from_config(config, attn_implementation=attention.PACKED).eval()


def windowed_grouped():
    model = windowed()
    model.set_attn_implementation(attention.GROUPED)
    return model


MAKES = [tiny_qwen3, gemma2, gpt2, grouped, packed, windowed, windowed_grouped]
ROWS = [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [1, 2, 3, 4, 11, 12], [7, 8, 9], [1, 2, 3, 4, 5, 6, 13, 14], [7, 8]]
PLACES = [[2, 3, 5, 9], [1, 2, 4, 5], [1, 2], [3, 6, 7], [1]]
"""Which tokens of each sequence are asked about."""


def rows_alone(model, temperature):
    return [torch.log_softmax(model(torch.tensor([row])).logits[0] / temperature, -1) for row in ROWS]


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("chunk_logits", [1 << 20, 128])
def test_scores_are_the_models_own(make, chunk_logits):
    model = make()
    scorer = Scorer(model, temperature=0.8, chunk_logits=chunk_logits)
    assert scorer.packs == (make in (grouped, packed, windowed, windowed_grouped))
    row = pack(ROWS, torch.device("cpu"))
    at = torch.cat([path[places] for path, places in zip(row.paths, PLACES, strict=True)])
    logp, entropy = scorer.token_logprobs(row, at)
    alone = rows_alone(model, 0.8)
    expected = [alone[r][t - 1, ROWS[r][t]] for r, places in enumerate(PLACES) for t in places]
    torch.testing.assert_close(logp, torch.stack(expected), rtol=1e-4, atol=1e-5)
    assert entropy.shape == logp.shape and not entropy.requires_grad
    logp.sum().backward()
    ours = gradient(model)
    model.zero_grad()
    torch.stack(expected).sum().backward()
    torch.testing.assert_close(ours, gradient(model), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("make", MAKES)
def test_next_logits_are_those_of_the_last_token(make):
    model = make()
    logits = Scorer(model, temperature=0.5).next_logits(pack(ROWS, torch.device("cpu")))
    for row, found in zip(ROWS, logits, strict=True):
        torch.testing.assert_close(found, model(torch.tensor([row])).logits[0, -1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [grouped, packed])
def test_what_is_recomputed_in_the_backward_pass_sees_the_same(make):
    gradients = []
    for again in (False, True):
        model = make().train(again)
        if again:
            model.gradient_checkpointing_enable()
        row = pack(ROWS, torch.device("cpu"))
        Scorer(model).token_logprobs(row, row.parents.gt(-1).nonzero()[:, 0])[0].sum().backward()
        gradients.append(gradient(model))
    torch.testing.assert_close(*gradients)


def test_what_knows_no_runs_is_padded():
    """A cap on the scores of attention is not known to attention over runs."""
    attention.register()
    model = gemma2()
    model.set_attn_implementation(attention.GROUPED)
    assert not Scorer(model).packs


def scored(model, ids, **options):
    row = pack([ids], torch.device("cpu"))
    return Scorer(model, **options).token_logprobs(row, torch.tensor([2, 3]))[0]


def test_autocast_is_near_and_scores_in_float32():
    model = tiny_qwen3()
    exact, near = (scored(model, [1, 2, 3, 4], autocast=a) for a in (False, True))
    assert near.dtype == torch.float32
    assert not torch.equal(exact, near)
    torch.testing.assert_close(exact, near, rtol=0.1, atol=0.3)


def test_the_output_layer_is_not_rounded_by_autocast():
    model, ids = tiny_qwen3(), torch.tensor([[1, 2, 3, 4]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids).last_hidden_state[:, -1]
    logits = Scorer(model, autocast=True).next_logits(pack(ids.tolist(), torch.device("cpu")))
    torch.testing.assert_close(logits, hidden.float() @ model.lm_head.weight.T)
    assert not torch.equal(logits, logits.bfloat16().float())
