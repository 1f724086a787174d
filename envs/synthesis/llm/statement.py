"""Problem statements by a language model.

Invariant: the model sees what failed, the test's line and the function's signature and documentation, never its body or
the patch; a draft that quotes a hidden line, is empty or too long is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from envs.synthesis.llm.answers import function_text
from envs.synthesis.llm.bugs import stub_of
from envs.synthesis.llm.client import ChatModel
from envs.synthesis.observed import observe, tells
from envs.synthesis.statement import LONG_CHARS, problem_statement
from envs.testing.runner import Failure

_DESCRIBE = """Write the report of a bug as a user would who does not know the cause: a title, what was done, what was \
expected and what came instead. Say nothing of how it might be repaired. Markdown, at most 200 words."""


async def describe(
    model: ChatModel,
    function: str,
    source: str,
    failing: Collection[str],
    failures: Mapping[str, Failure],
    read: Callable[[str], str],
    hidden: Collection[str],
) -> str:
    """The model's statement for `path::qualname`; where its draft will not do, the one of style `issue`.

    `source` is the file with the function. Raises `ModelError`.
    """
    seen = observe(function, failing, failures, read, hidden)
    facts = {"Function": seen.function, "File": seen.path, "Failing test": seen.test, "Its line": seen.quoted}
    facts |= {"It says": f"{seen.type}: {seen.message}" if seen.type else "nothing: it does not come to an end"}
    try:
        facts["Signature"] = stub_of(function_text(source, seen.function))
    except (SyntaxError, ValueError):
        facts["Signature"] = ""
    facts = {name: fact for name, fact in facts.items() if fact and not tells(fact, hidden)}
    draft = (await model.ask(_DESCRIBE, "\n".join(f"{name}: {fact}" for name, fact in facts.items()))).strip()
    if not draft or len(draft) >= LONG_CHARS or tells(draft, hidden):
        return problem_statement(function, failing, failures, read, hidden, "issue")
    return draft + "\n"
