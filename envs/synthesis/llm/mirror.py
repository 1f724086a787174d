"""A past commit, taken back.

Invariant: `fixed` is what the checkout holds now, `broken` the same without what the commit did to files that are not
tests. Nothing is written into the checkout.
"""

from __future__ import annotations

import ast
import asyncio
import subprocess
import tempfile
from pathlib import Path, PurePosixPath

from envs.synthesis.candidate import Mutant
from envs.synthesis.changes import changed_lines, edits
from envs.synthesis.llm.answers import code_blocks
from envs.synthesis.llm.client import ChatModel
from envs.synthesis.llm.commits import MirrorError, git
from envs.synthesis.text import Function, parse_text

_REVERT = """Given a Python file and a past change to it as a diff, take the change back in the file as it is now: \
what the diff added must be gone or as before, what it removed must be there again, all else stays. Answer with the \
whole file in one code block."""


async def mirror(
    checkout: Path,
    commit: str,
    targets: tuple[str, ...] = (),
    model: ChatModel | None = None,
    tree: Path | None = None,
) -> Mutant:
    """The candidate that undoes a commit. Files to which the inverse diff does not apply are given to the model.

    `tree` has the files as they are now, where that is not the checkout itself. Raises `MirrorError` in one sentence
    (no such commit, nothing but tests in it, a file that needs a model), `ModelError`.
    """
    full = (await git(checkout, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}")).strip()
    listed = await git(
        checkout, "diff-tree", "--root", "-r", "-z", "--no-commit-id", "--name-only", "--diff-filter=M", full
    )
    paths = [path for path in listed.split("\0") if path.endswith(".py") and not _is_test(path)]
    broken: dict[str, str] = {}
    fixed: dict[str, str] = {}
    for path in paths:
        file = (tree or checkout) / path
        if not file.is_file() or file.is_symlink():
            continue
        now = file.read_bytes().decode()
        diff = await git(
            checkout, "diff-tree", "-p", "--no-color", "--no-ext-diff", "--root", "--no-commit-id", full, "--", path
        )
        old = await asyncio.to_thread(_taken_back, path, now, diff)
        if old is None:
            old = await _by_model(model, path, now, diff, full)
        if old != now:
            broken[path], fixed[path] = old, now
    if not broken:
        raise MirrorError(f"commit {full[:12]} changes no Python file that is here now, but for tests")
    hidden = tuple(dict.fromkeys(line for path in fixed for line in changed_lines(fixed[path], broken[path])))
    functions = [f"{path}::{name}" for path in fixed for name in _functions(fixed[path], broken[path])]
    first, *also = functions or [f"{next(iter(fixed))}::<module>"]
    return Mutant(f"mirror__{full[:8]}", "mirror", first, broken, fixed, targets, hidden, also=tuple(also))


def _is_test(path: str) -> bool:
    parts = PurePosixPath(path).parts
    name = parts[-1]
    return (
        bool({"test", "tests", "testing"} & set(parts[:-1]))
        or name.startswith(("test_", "conftest"))
        or name.endswith("_test.py")
    )


def _taken_back(path: str, now: str, diff: str) -> str | None:
    """The inverse diff applied; None where it does not apply."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(now.encode())
        environment = {"GIT_CEILING_DIRECTORIES": str(Path(place).parent), "PATH": "/usr/bin:/bin:/usr/local/bin"}
        command = ["git", "apply", "-R", "--whitespace=nowarn", "-"]
        done = subprocess.run(
            command, cwd=place, input=diff.encode(), env=environment, capture_output=True, check=False
        )
        return file.read_bytes().decode() if done.returncode == 0 else None


async def _by_model(model: ChatModel | None, path: str, now: str, diff: str, commit: str) -> str:
    if model is None:
        raise MirrorError(
            f"the inverse of {commit[:12]} does not apply to {path}: configure a language model to adapt it"
        )
    answer = await model.ask(_REVERT, f"{path}:\n\n```python\n{now}\n```\n\nThe change:\n\n```diff\n{diff}\n```")
    for block in code_blocks(answer):
        try:
            parse_text(block)
        except (SyntaxError, ValueError):
            continue
        if 2 * block.count("\n") >= now.count("\n"):  # not an excerpt
            newline = "\r\n" if "\r\n" in now else "\n"
            return (block.rstrip("\n") + "\n").replace("\n", newline)
    raise MirrorError(f"the model's answer for {path} holds no whole file that parses")


def _functions(fixed: str, broken: str) -> list[str]:
    """The qualified names of the functions that changes are in, from top to bottom; one for each change."""
    try:
        tree = parse_text(fixed).tree
    except SyntaxError:
        return []
    places = [(start + 1, max(end, start + 1)) for start, end, _ in edits(fixed, broken)]
    return list(dict.fromkeys(name for place in places if (name := _holding(tree.body, *place))))


def _holding(body: list[ast.stmt], first: int, last: int) -> str:
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and node.lineno <= last and first <= (node.end_lineno or 0):
            inner = _holding(node.body, first, last) if isinstance(node, ast.ClassDef) else ""
            if inner or isinstance(node, Function):
                return f"{node.name}.{inner}" if inner else node.name
    return ""
