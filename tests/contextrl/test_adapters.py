"""LoRA: only the adapters learn, what is saved is whole, and without them the policy is its own reference."""

import copy
from pathlib import Path

import pytest
import torch
from learning_toys import tiny_qwen3
from test_learner import data, learner, pairs, terms, weights

from agents.policy import load_policy, save_policy
from contextrl.adapters import Bare, adapters_of, add_adapters, load_adapters, whole_weights, without_adapters
from contextrl.checkpoint import RunFolder
from contextrl.config import LoRAConfig, Recipe
from contextrl.packing import pack
from contextrl.recipe_file import RecipeError
from contextrl.scoring import Scorer
from contextrl.start import load_start, policy_source

IDS = torch.tensor([[1, 2, 3, 4, 5]])


def adapted(seed=0, **config):
    model = tiny_qwen3(16)
    add_adapters(model, LoRAConfig(rank=4, **config), seed)
    return model


def test_only_the_adapters_learn_and_the_reference_stays():
    model, plain = adapted(), tiny_qwen3(16)
    torch.testing.assert_close(model(IDS).logits, plain(IDS).logits)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    reference = Bare(model)
    ours = learner(model, {"lr": 1e-2}, reference=reference, terms=terms(kl=0.1))
    made = [ours.step(data(i), pairs()).metrics for i in range(3)]
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed and all("lora_" in name for name in changed)
    assert made[0]["grpo/kl"] < 1e-6 < made[-1]["grpo/kl"]
    row = pack(IDS.tolist(), torch.device("cpu"))
    at = torch.tensor([2, 4])
    torch.testing.assert_close(reference.token_logprobs(row, at)[0], Scorer(plain).token_logprobs(row, at)[0])
    with without_adapters(model):
        torch.testing.assert_close(model(IDS).logits, plain(IDS).logits)
    assert not torch.allclose(model(IDS).logits, plain(IDS).logits)


def test_the_same_seed_makes_the_same_adapters_and_disturbs_nobody():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = adapted(seed=3)
    torch.manual_seed(5)
    adapters = [adapters_of(model) for model in (one, adapted(seed=3), adapted(seed=4))]
    assert all(torch.equal(adapters[0][name], adapters[1][name]) for name in adapters[0])
    assert any(not torch.equal(adapters[0][name], adapters[2][name]) for name in adapters[0])
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), expected)


def test_what_is_saved_is_loaded_by_plain_transformers(tmp_path):
    policy = load_policy(policy_source("tiny"))
    add_adapters(policy.model, LoRAConfig(rank=4, targets=("q_proj", "down_proj")), 0)
    with torch.no_grad():
        for value in policy.model.parameters():
            if value.requires_grad:
                value.add_(0.05)
    save_policy(policy, tmp_path / "saved", whole_weights(policy.model))
    again = load_policy(tmp_path / "saved")
    torch.testing.assert_close(again.model(IDS).logits, policy.model(IDS).logits, rtol=1e-4, atol=1e-4)


def recipe(runs: Path, **lora) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "r",
            "runs": str(runs),
            "repositories": [{"source": "generated:seed=0,modules=2"}],
            "learner": {"lora": {"rank": 4, **lora}},
            "grpo": {"kl": 0.01},
        }
    )


def test_a_run_goes_on_with_its_adapters(tmp_path):
    config = recipe(tmp_path)
    folder = RunFolder(config, resume=True)
    folder.begin()
    start = load_start(config, folder)
    assert isinstance(start.reference, Bare)
    with torch.no_grad():
        for value in adapters(start.policy.model):
            value.add_(torch.randn_like(value))
    folder.save(start.policy, {"iteration": 3})
    again = load_start(config, folder)
    assert again.state and again.state["iteration"] == 3
    assert torch.equal(weights(again.policy.model), weights(start.policy.model))
    plain = load_policy(tmp_path / "r" / "checkpoint")
    torch.testing.assert_close(plain.model(IDS).logits, start.policy.model(IDS).logits, rtol=1e-4, atol=1e-4)


def adapters(model):
    return [p for p in model.parameters() if p.requires_grad]


def test_what_does_not_fit_is_told(tmp_path):
    with pytest.raises(RecipeError, match=r"learner\.lora\.targets: .*nothing_here"):
        adapted(targets=("nothing_here",))
    with pytest.raises(RecipeError, match="adapters are not those"):
        load_adapters(adapted(), adapters_of(adapted(targets=("q_proj",))))
    other = copy.deepcopy(adapters_of(adapted()))
    load_adapters(adapted(), other)
