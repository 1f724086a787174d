"""A code-aware tokenizer: an identifier, a number below 100, an operator with its spaces is one token each.

Invariant: lossless. Whatever is not in the vocabulary falls back to bytes, so decode(encode(text)) == text for all
text. White space belongs to operators, punctuation and keywords, never to names and numbers: the same name is the same
token wherever it stands, which is what copying heads need.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from envs.generated.names import IDENTIFIERS, PACKAGE
from trajectories.records import MASK

PAD, USER, ASSISTANT, TOOL, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|end|>"
CHAT_TEMPLATE = (
    "{# calls are written as <function=...> #}"  # by which agents.toolformat.detect knows the `xml` format
    "{% for message in messages %}"
    "{% if message.role == 'user' %}<|user|>{{ message.content }}<|end|>"
    "{% elif message.role == 'tool' %}<|tool|>{{ message.content }}<|end|>"
    "{% elif message.role == 'assistant' %}<|assistant|>{{ message.content }}<|end|>"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""System messages and tool descriptions are left out: the policy was trained on these tools and knows no others. The
calls themselves are in the `xml` tool format (`<function=...>`)."""

QUOTE = "Quote "
"""Begins the request to quote a function: only ever asked while the policy is made."""
_CALL, _CLOSE = "<tool_call>\n<function={}>\n", "</function>\n</tool_call>"
CODE = (
    *(
        "def ",
        "(",
        ", ",
        "):\n    return ",
        "\n\n\ndef ",
        "\n",
        " + ",
        " - ",
        " * ",
        "-",
        ")",
        " plus ",
        " minus ",
        " times ",
    ),
    *(
        ") is ",
        ".\n",
        ".py",
        ".md",
        "docs/",
        f"{PACKAGE}/",
        "tests/test_",
        "test_",
        "self.assertEqual(",
        "return ",
    ),
)
"""Lexemes of generated modules, documents and tests."""
TALK = (
    *(") gives ", ", expected ", f".\nFix {PACKAGE}/", ".py; docs/", ".md says what is right.\n"),
    *(
        "edited ",
        "error: ",
        "no such file",
        "FAILED tests.test_",
        ".Test.test_",
        " != ",
        " failed, ",
        " passed",
        ": ",
    ),
)
"""Fixed phrases of problem statements and observations."""
CALLS = (
    *(_CALL.format(n) + "<parameter=path>\n" for n in ("view", "edit")),
    *(_CALL.format(n) + _CLOSE for n in ("run_tests", "submit")),
    *("\n</parameter>\n" + _CLOSE, "\n</parameter>\n<parameter=new>\n"),
)
"""Fixed phrases of tool calls in the `xml` format."""


def build_tokenizer(phrases: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """The tokenizer, with every one of `phrases` (fixed sentences of prompts) as a token of its own."""
    special = [PAD, USER, ASSISTANT, TOOL, END, MASK]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*special, *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(special)
    words = [*CODE, *TALK, *CALLS, QUOTE, *phrases, *(str(n) for n in range(10, 100)), *IDENTIFIERS]
    known = set(vocabulary)
    core.add_tokens([AddedToken(w, normalized=False) for w in dict.fromkeys(words) if w not in known])
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core, pad_token=PAD, eos_token=END, clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
