"""A random tiny Qwen3 and a byte-level tokenizer with a chat template, made here: no download."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

# Qwen3's template in the part that matters: it strips the thinking of earlier turns, so history rendered anew
# differs from what was sampled.
TEMPLATE = """{%- if messages[0].role == 'system' or tools %}<|im_start|>system
{%- if messages[0].role == 'system' %}
{{ messages[0].content }}{% endif %}
{%- if tools %}
<tools>{% for tool in tools %}{{ tool.function.name }} {% endfor %}</tools>{% endif %}<|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == 'user' %}<|im_start|>user
{{ message.content }}<|im_end|>
{% elif message.role == 'assistant' %}<|im_start|>assistant
{% if loop.last %}{{ message.content }}{% else %}{{ message.content.split('</think>')[-1] }}{% endif %}<|im_end|>
{% elif message.role == 'tool' %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def build_tokenizer(template=TEMPLATE):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {symbol: i for i, symbol in enumerate(alphabet)}
    core = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>", additional_special_tokens=SPECIAL[1:2]
    )
    tokenizer.chat_template = template
    return tokenizer


def build_model(attention="grouped", dtype=torch.float32, **changes):
    from agents import attention as grouped

    grouped.register()
    torch.manual_seed(0)
    config = Qwen3Config(
        **{
            "vocab_size": 300,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "intermediate_size": 64,
            "max_position_embeddings": 1024,
            "tie_word_embeddings": True,
            "initializer_range": 0.3,  # large, so that a wrong mask or position shows
            **changes,
        }
    )
    return Qwen3ForCausalLM._from_config(config, attn_implementation=attention).to(dtype).eval()


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer()


@pytest.fixture(scope="session")
def make_model():
    return build_model


@pytest.fixture(scope="session")
def make_tokenizer():
    return build_tokenizer


@pytest.fixture
def model():
    return build_model()
