"""Loading and saving policies, and the one sentence for each that cannot be used."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from agents.chat import PolicyError
from agents.policy import _attention, load_policy, make_policy, save_policy


@pytest.fixture
def folder(make_model, tokenizer, tmp_path):
    model = make_model(vocab_size=len(tokenizer))
    save_policy(make_policy(model, tokenizer, "memory"), tmp_path / "policy")
    return tmp_path / "policy"


def test_round_trip(folder, make_model, tokenizer):
    policy = load_policy(folder)
    assert policy.model.config._attn_implementation == "grouped"
    assert [policy.tokenizer.decode([letter]) for letter in policy.letters] == ["A", "B"]
    assert policy.chat.tool_format.name == "hermes"
    assert policy.max_context == 1024
    ids = torch.tensor([[5, 6, 7, 8]])
    plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    with torch.no_grad():
        expected = make_model(vocab_size=len(tokenizer))(ids).logits
        torch.testing.assert_close(policy.model(ids).logits, expected)
        torch.testing.assert_close(plain(ids).logits, expected)
    assert policy.chat.opening("x") == make_policy(policy.model, tokenizer, "").chat.opening("x")


def test_saving_replaces_the_folder_and_leaves_nothing_else(folder):
    (folder / "stale.txt").write_text("old")
    policy = load_policy(str(folder), dtype=torch.bfloat16)
    assert policy.model.dtype == torch.bfloat16
    save_policy(policy, folder)
    assert not (folder / "stale.txt").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["policy"]
    assert load_policy(folder).model.dtype == torch.float32


def test_a_failed_save_keeps_the_old_checkpoint(folder):
    policy = load_policy(folder)

    class Full:
        def save_pretrained(self, path):
            raise OSError("no space left on device")

    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(OSError, match="no space"):
        save_policy(type(policy)(policy.model, Full(), policy.chat, policy.letters, ""), folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert [path.name for path in folder.parent.iterdir()] == ["policy"]


def test_missing_pieces(folder, tmp_path):
    with pytest.raises(PolicyError, match="there is no such folder"):
        load_policy(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PolicyError, match=r"no config\.json"):
        load_policy(tmp_path / "empty")
    for file, words in [("model.safetensors", "weights"), ("tokenizer.json", "tokenizer")]:
        broken = tmp_path / words
        shutil.copytree(folder, broken)
        (broken / file).unlink()
        with pytest.raises(PolicyError, match=f"its {words} cannot be loaded"):
            load_policy(broken)
    (folder / "config.json").write_text(json.dumps({"model_type": "no-such-model"}))
    with pytest.raises(PolicyError, match="its configuration cannot be loaded"):
        load_policy(folder)


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda w: w.pop("model.norm.weight"), "1 of its weights are absent.*model.norm.weight"),
        (lambda w: w.update({"model.norm.weight": torch.ones(3)}), "another shape.*model.norm.weight"),
        (lambda w: w["model.norm.weight"].fill_(float("nan")), "are not finite numbers.*model.norm.weight"),
    ],
)
def test_weights_are_never_made_up(folder, break_it, told):
    weights = load_file(folder / "model.safetensors")
    break_it(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(PolicyError, match=told):
        load_policy(folder)


def test_a_tokenizer_of_another_model_is_refused(make_model, tokenizer, tmp_path):
    save_policy(make_policy(make_model(vocab_size=len(tokenizer) - 1), tokenizer, "x"), tmp_path / "policy")
    with pytest.raises(PolicyError, match=f"its tokenizer has {len(tokenizer)} tokens and its model only"):
        load_policy(tmp_path / "policy")


def test_what_a_policy_must_be_able_to_do(make_model, make_tokenizer, tokenizer):
    model = make_model()
    with pytest.raises(PolicyError, match="policy x: the checkpoint has no chat template"):
        make_policy(model, make_tokenizer(None), "x")
    with pytest.raises(PolicyError, match="no tool format 'yaml'; choose one of hermes, xml"):
        make_policy(model, tokenizer, "x", tool_format="yaml")
    prefixed = make_tokenizer()
    prefixed.backend_tokenizer.pre_tokenizer.add_prefix_space = True  # "A" becomes a space and an A
    with pytest.raises(PolicyError, match='no single token for each of "A" and "B"'):
        make_policy(model, prefixed, "x")


def test_all_end_tokens_of_the_model_stop_a_turn(make_model, tokenizer):
    model = make_model()
    model.generation_config.eos_token_id = [3, 4]
    policy = make_policy(model, tokenizer, "x")
    assert policy.chat.stop_ids == {3, 4, policy.chat.end_of_turn}


def test_who_attends_how():
    found = {(kind, device): _attention(kind, device) for kind in ("qwen3", "gemma2") for device in ("cpu", "cuda")}
    assert found == {
        ("qwen3", "cpu"): "grouped",
        ("qwen3", "cuda"): "packed",
        ("gemma2", "cpu"): "eager",
        ("gemma2", "cuda"): "sdpa",
    }
