"""Writes a generated repository: `arith/<module>.py`, `docs/<module>.md`, `tests/test_<module>.py`.

Invariant: source, document and test of the base commit agree; each can be read back into the `Module` it came from.
"""

from __future__ import annotations

import ast
import random
from pathlib import Path

from envs.generated.grammar import WORDS, Function, Module, random_module, spell
from envs.generated.names import IDENTIFIERS, PACKAGE

VISIBLE = ((3, 7), (8, 2), (5, 5), (1, 9))
"""Inputs that the tests in the repository try."""
HIDDEN = ((2, 6), (7, 4), (11, 13), (0, 5), (-3, 8))
"""Inputs that only the grader tries as well."""
_SYMBOLS = {word: symbol for symbol, word in WORDS.items()}


def source_path(module: str) -> str:
    """Path of a module's source in its repository."""
    return f"{PACKAGE}/{module}.py"


def document_path(module: str) -> str:
    """Path of the document that says what a module's functions do."""
    return f"docs/{module}.md"


def test_path(module: str) -> str:
    """Path of a module's tests."""
    return f"tests/test_{module}.py"


def document(module: Module) -> str:
    """One line a function: `name(a, b) is a times 3 plus b.`"""
    return "".join(f"{f.name}({f.first}, {f.second}) is {spell(f.expression, words=True)}.\n" for f in module.functions)


def evaluate(module: Module, function: Function, a: int, b: int) -> int:
    """What a function of the module returns, by running its source."""
    scope: dict[str, object] = {"__builtins__": {}}
    exec(compile(module.source(), module.name, "exec"), scope)  # our own text: names, digits and + - * only
    value = scope[function.name](a, b)  # type: ignore[operator]
    assert isinstance(value, int)
    return value


def test_source(module: Module, inputs: tuple[tuple[int, int], ...]) -> str:
    """A unittest file with one test a function, checking `inputs`."""
    names = ", ".join(f.name for f in module.functions)
    lines = [
        "import unittest",
        "",
        f"from {PACKAGE}.{module.name} import {names}",
        "",
        "",
        "class Test(unittest.TestCase):",
    ]
    for f in module.functions:
        cases = ", ".join(f"({a}, {b}, {evaluate(module, f, a, b)})" for a, b in inputs)
        lines += [
            f"    def test_{f.name}(self):",
            f"        for a, b, want in [{cases}]:",
            f"            self.assertEqual({f.name}(a, b), want)",
            "",
        ]
    return "\n".join(lines[:-1]) + "\n"


def module_files(module: Module) -> dict[str, str]:
    """Source, document and visible tests of a module, path -> text."""
    return {
        source_path(module.name): module.source(),
        document_path(module.name): document(module),
        test_path(module.name): test_source(module, VISIBLE),
    }


def make_repository(folder: Path, seed: int, modules: int) -> None:
    """Write a repository of `modules` modules (2 to 4 functions each) into an empty or new folder."""
    if not 1 <= modules <= len(IDENTIFIERS):
        raise ValueError(f"generated: modules={modules} is out of range; give 1 to {len(IDENTIFIERS)}")
    rng = random.Random(seed)
    files = {
        "README.md": f"# {PACKAGE}\n\nA generated package. `docs/` says what each function should do.\n",
        f"{PACKAGE}/__init__.py": "",
        "tests/__init__.py": "",
    }
    for name in rng.sample(IDENTIFIERS, modules):
        files |= module_files(random_module(rng, name, rng.choice((2, 3, 3, 4))))
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def read_module(tree: Path, name: str) -> Module:
    """The module as it stands in a repository, read back from its document."""
    return module_from_document(name, (tree / document_path(name)).read_text())


def module_from_document(name: str, text: str) -> Module:
    """The module that a document describes. Raises ValueError for text that is no such document."""
    functions = []
    for line in text.splitlines():
        head, separator, body = line.removesuffix(".").partition(" is ")
        if separator:
            call = ast.parse(head, mode="eval").body
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
                raise ValueError(f"docs/{name}.md: {line!r} does not describe a function")
            first, second = (a.id for a in call.args if isinstance(a, ast.Name))
            functions.append(Function(call.func.id, first, second, _lexemes(body)))
    return Module(name, tuple(functions))


def module_from_source(name: str, text: str) -> Module:
    """The module whose source this is. Raises ValueError or SyntaxError for text of another form."""
    functions = []
    for node in ast.parse(text).body:
        if not (isinstance(node, ast.FunctionDef) and isinstance(node.body[-1], ast.Return)):
            raise ValueError(f"{source_path(name)}: line {node.lineno} is no generated function")
        body = ast.get_source_segment(text, node.body[-1]) or ""
        first, second = (a.arg for a in node.args.args)
        functions.append(Function(node.name, first, second, _lexemes(body.removeprefix("return "))))
    return Module(name, tuple(functions))


def _lexemes(body: str) -> tuple[str, ...]:
    for mark in "(),":
        body = body.replace(mark, f" {mark} ")
    return tuple(_SYMBOLS.get(word, word) for word in body.split())


def module_names(tree: Path) -> list[str]:
    """Names of the modules of a generated repository, sorted."""
    return sorted(p.stem for p in (tree / "docs").glob("*.md"))
