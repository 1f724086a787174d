import pytest
import torch
from learning_toys import gradient, tiny_qwen3
from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel

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


@pytest.mark.parametrize("make", [tiny_qwen3, gemma2, gpt2])
@pytest.mark.parametrize("chunk_logits", [1 << 20, 128])
def test_scores_are_the_models_own(make, chunk_logits):
    model = make()
    scorer = Scorer(model, temperature=0.8, chunk_logits=chunk_logits)
    rows = [[1, 2, 3, 4, 5, 6], [7, 8, 9]]
    ids = torch.tensor([rows[0], [*rows[1], 0, 0, 0]])
    select = torch.tensor([[0, 0, 1, 1, 0, 1], [0, 1, 1, 0, 0, 0]]).bool()
    logp, entropy = scorer.token_logprobs(ids, select)
    expected = []
    for row, places in zip(rows, ([2, 3, 5], [1, 2]), strict=True):
        alone = torch.log_softmax(model(torch.tensor([row])).logits[0] / 0.8, -1)
        expected += [alone[t - 1, row[t]] for t in places]
    torch.testing.assert_close(logp, torch.stack(expected), rtol=1e-4, atol=1e-5)
    assert entropy.shape == logp.shape and not entropy.requires_grad
    logp.sum().backward()
    ours = gradient(model)
    model.zero_grad()
    torch.stack(expected).sum().backward()
    torch.testing.assert_close(ours, gradient(model), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("make", [tiny_qwen3, gemma2])
def test_next_logits_are_those_of_the_last_token(make):
    model = make()
    logits = Scorer(model, temperature=0.5).next_logits(torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.tensor([3, 1]))
    torch.testing.assert_close(logits[0], model(torch.tensor([[1, 2, 3]])).logits[0, -1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits[1], model(torch.tensor([[4]])).logits[0, -1], rtol=1e-4, atol=1e-5)


def test_autocast_is_near_and_scores_in_float32():
    model = tiny_qwen3()
    ids, select = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[False, False, True, True]])
    exact, near = (Scorer(model, autocast=a).token_logprobs(ids, select)[0] for a in (False, True))
    assert near.dtype == torch.float32
    assert not torch.equal(exact, near)
    torch.testing.assert_close(exact, near, rtol=0.1, atol=0.3)


def test_the_output_layer_is_not_rounded_by_autocast():
    model, ids = tiny_qwen3(), torch.tensor([[1, 2, 3, 4]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids).last_hidden_state[:, -1]
    logits = Scorer(model, autocast=True).next_logits(ids, torch.tensor([4]))
    torch.testing.assert_close(logits, hidden.float() @ model.lm_head.weight.T)
    assert not torch.equal(logits, logits.bfloat16().float())
