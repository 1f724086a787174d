"""Procedural bugs: every kind makes its bug, keeps every other byte, and says something new."""

import ast
import difflib
import random
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.synthesis.meaning import meaning
from envs.synthesis.modifiers import CLASS_MODIFIERS, FUNCTION_MODIFIERS, changes
from envs.synthesis.modifiers.block import cut_out
from envs.synthesis.mutations import MutationError, mutate_class, mutate_function
from envs.synthesis.text import find_function, parse_text

SWE_SMITH = {
    "class_rm_base", "class_rm_funcs", "class_shuffle_funcs", "ctrl_invert_if", "ctrl_shuffle", "remove_assign",
    "remove_cond", "remove_loop", "remove_wrapper", "op_break_chains", "op_change_const", "op_change", "op_swap",
}  # fmt: skip

CASES = {
    "comparison": ("return a  <b  # c", "return a  <=b  # c"),
    "op_change": ("return a  +b  # c", "return a  -b  # c"),
    "op_change_const": ("return a + 10", "return a + 11"),
    "op_swap": ("return a  - (b)", "return (b)  - a"),
    "op_break_chains": ("return a + b+ 2", "return a+ 2"),
    "boolean": ("return a and b", "return a or b"),
    "condition": ("if a:\n    b += 1\nreturn b", "if not a:\n    b += 1\nreturn b"),
    "negation": ("return not a", "return a"),
    "variable": ("return a.real", "return b.real"),
    "attribute": ("return a.real + a.imag", "return a.imag + a.imag"),
    "argument": ("return pow(a , b)", "return pow(b , a)"),
    "call": ("return min( a, b )", "return max( a, b )"),
    "boundary": ("return a[1 : b]", "return a[1 : b - 1]"),
    "default": ("return a.get(b,  0)", "return a.get(b,  1)"),
    "return": ("return a, b", "return b, a"),
    "statement": ("a.sort()\nreturn a", "return a"),
    "guard": ("# is it?\nif not a:\n    return b  # early\nreturn a", "return a"),
    "branch": ("if a:\n    b = 1\nelse:\n    b = 2\nreturn b", "if a:\n    b = 1\nreturn b"),
    "control": (
        "for i in a:\n    if i:\n        break\nreturn i",
        "for i in a:\n    if i:\n        continue\nreturn i",
    ),
    "ctrl_invert_if": (
        "if a:\n    b = 1  # one\nelse:\n    b = 2\nreturn b", "if a:\n    b = 2\nelse:\n    b = 1  # one\nreturn b",
    ),
    "ctrl_shuffle": ("a = a + 1  # up\nb = a * 2\nreturn b", "b = a * 2\na = a + 1  # up\nreturn b"),
    "remove_assign": ("a = a.strip()\nreturn a", "return a"),
    "definition": ("c = a\nfor i in b:\n    c += i\nreturn c", "for i in b:\n    c += i\nreturn c"),
    "remove_cond": ("if a:\n    b += 1  # up\nreturn b", "b += 1  # up\nreturn b"),
    "remove_loop": ("for i in a:\n    b += i\nreturn b", "return b"),
    "remove_wrapper": (
        "try:\n    b = '''\n  x''' + a\nexcept TypeError:\n    pass\nreturn b",
        "b = '''\n  x''' + a\nreturn b",
    ),
}  # fmt: skip
CLASS_CASES = {
    "class_rm_base": ("class C(list,  Mixed):", "class C(list):"),
    "class_rm_funcs": ("    def two(self, x):  # a\n        return 2\n", ""),
    "class_shuffle_funcs": (
        "    def one(self, x):\n        return 1\n\n    def two(self, x):  # a\n        return 2\n",
        "    def one(self, x):  # a\n        return 2\n\n    def two(self, x):\n        return 1\n",
    ),
}
CLASS = """class Mixed: pass


class C(list,  Mixed):
    def one(self, x):
        return 1

    def two(self, x):  # a
        return 2
"""


def every(source, name="f", seed=0, n=10_000):
    return mutate_function(source, name, random.Random(seed), n)


def test_all_of_swe_smiths_modifiers_are_here():
    assert set(FUNCTION_MODIFIERS) | set(CLASS_MODIFIERS) >= SWE_SMITH
    assert set(CASES) == set(FUNCTION_MODIFIERS) and set(CLASS_CASES) == set(CLASS_MODIFIERS)
    assert all(modifier.summary.endswith((".", ".)")) for modifier in FUNCTION_MODIFIERS.values())


@pytest.mark.parametrize("kind", CASES)
def test_a_modifier_makes_its_bug(kind):
    frame = "x = 1\n\n\ndef f(a, b):\n    '''Doc: a < b.'''\n{}\n\n\ny = 2"
    source, wanted = (
        frame.format(textwrap.indent(text, "    ")).replace("\n      x'''", "\n  x'''") for text in CASES[kind]
    )
    made = {m.new_source: m for m in every(source) if m.kind == kind}
    assert wanted in made, "\n".join(made)
    mutation = made[wanted]
    assert mutation.before_line == source.splitlines()[mutation.line - 1].strip()
    assert mutation.after_line == wanted.splitlines()[mutation.line - 1].strip()


@pytest.mark.parametrize("kind", CLASS_CASES)
def test_a_class_modifier_makes_its_bug(kind):
    wanted = CLASS.replace(*CLASS_CASES[kind])
    made = [m for m in mutate_class(CLASS, "C", random.Random(0), 100) if m.kind == kind]
    assert wanted.rstrip() in {m.new_source.rstrip() for m in made}


def test_methods_that_the_class_itself_needs_stay():
    source = "class C:\n    def a(self): return 1\n    b = a\n    @property\n    def c(self): return 2\n"
    source += "    @c.setter\n    def c(self, v): pass\n"
    lost = [m.before_line for m in mutate_class(source, "C", random.Random(0), 9) if m.kind == "class_rm_funcs"]
    assert lost == ["@c.setter"]


ODD = [
    "def f(a, b=2):\r\n    if a < b :\r\n        return  a  # é\r\n\r\n    # tail\r\n    return (b,\r\n       a)\r\n",
    "\ufeff# coding: latin-1\ndef f(a, b=2):\n\tif a<b:\n\t\treturn a;\n\ts = '''é\n  b'''\n\treturn s + b\t \n",
    "class K:\n  def f(self, a, b=2):\n      self.n = a ; self.m = b\n      return [ a,\n  b][self.n:self.m]\n  y=2\n",
    "if 1:\n   def f(a, b):\n     c = a \\\n        - b\n     while c > 0: c -= 1\n     return c",
]  # fmt: skip


@pytest.mark.parametrize("source", ODD)
def test_odd_formatting_survives_byte_for_byte(source):
    found = every(source, "K.f" if "class K" in source else "f")
    assert len(found) >= 8
    for mutation in found:
        matcher = difflib.SequenceMatcher(None, source, mutation.new_source, autojunk=False)
        kept = sum(block.size for block in matcher.get_matching_blocks())
        assert kept >= len(source) - 60, "no line is written anew that the bug does not touch"
        assert mutation.new_source.startswith("\ufeff") == source.startswith("\ufeff")
        assert mutation.new_source.count("\r") == mutation.new_source.count("\n") or "\r" not in source
        ast.parse(mutation.new_source.removeprefix("\ufeff"))


SPACES = st.sampled_from(["", " ", "  ", "\t", " \\\n  "])


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["  ", "    ", "\t"]), st.booleans())
def test_white_space_of_every_sort_stays(data, newline, indent, last):
    gaps = [data.draw(SPACES) for _ in range(8)]
    lines = [f"def f(a,{gaps[0]}b):", f"{indent}if a{gaps[1]}<{gaps[2]}b:{gaps[3].split(chr(92))[0]}# c"]
    lines += [f"{indent}{indent}a{gaps[4]}+={gaps[5]}1", f"{indent}return{gaps[6] or ' '}a{gaps[7]}*b"]
    source = newline.join("\n".join(lines).split("\n")) + (newline if last else "")
    for mutation in every(source):
        if mutation.kind in ("comparison", "op_change", "op_change_const", "variable"):
            operators = str.maketrans("", "", "<>=+-*ab12340")
            assert mutation.new_source.translate(operators) == source.translate(operators)


def test_every_bug_is_new():
    source = "def f(a, b):\n    if a:\n        return b\n        b = a + 1\n    x = a + 0\n    return x * 1\n"
    found = every(source)
    compiled = [meaning(m.new_source) for m in found]
    assert len(set(compiled)) == len(found) and meaning(source) not in compiled
    assert "b = a + 1" not in {m.before_line for m in found}, "what is never reached cannot be a bug"
    assert not any("a - 0" in m.new_source or "x / 1" in m.new_source for m in found)


def test_what_must_not_be_told_is_listed():
    source = "def f(a, b):\n    if a:\n        b = 1\n    else:\n        b = 2\n    return b\n"
    (inverted,) = [m for m in every(source) if m.kind == "ctrl_invert_if"]
    assert set(inverted.changed) >= {"b = 1", "b = 2"}
    unwrapped = [m for m in every(source) if m.kind == "remove_cond"]
    assert any(set(m.changed) == {"if a:", "else:", "b = 2"} for m in unwrapped)


def test_variables_come_from_the_scopes_around():
    source = "def f(a):\n    g = [x for x in a]\n    late = len(g)\n    return late\n"
    names = {m.after_line for m in every(source) if m.kind == "variable"}
    assert "return g" in names and "return a" in names
    assert not any("return x" in name or "in late" in name for name in names)


def test_siblings_take_as_many_arguments():
    source = "def load_one(a): pass\ndef load_two(a): pass\ndef load_all(): pass\ndef f(a):\n    return load_one(a)\n"
    calls = [m.after_line for m in every(source) if m.kind == "call"]
    assert calls == ["return load_two(a)"]


@pytest.mark.parametrize("module", [textwrap, random, ast])
def test_whole_real_modules(module):
    """Each bug parses, differs in compiled code, and the quick way of writing it gives what the thorough one does."""
    source = Path(module.__file__).read_text()
    text = parse_text(source)
    functions = [node for node in text.tree.body if isinstance(node, ast.FunctionDef)]
    for node in functions:
        block = cut_out(source, text, find_function(text.tree, node.name), node.name)
        assert block.before + block.text + block.after == source
        for change in list(changes(block.scope, FUNCTION_MODIFIERS))[::7]:
            if (quick := block.spliced(change.old, change.new)) is not None:
                assert quick == block.rewritten(change.old, change.new)
    found = [m for node in functions for m in every(source, node.name, n=6)]
    assert len(found) >= 3 * len(functions)
    assert len({m.new_source for m in found}) == len(found)
    for mutation in found:
        ast.parse(mutation.new_source)


def test_a_function_has_many_different_bugs_and_the_seed_decides():
    source = Path(textwrap.__file__).read_text()
    found = every(source, "dedent", seed=3, n=12)
    assert len(found) == 12 and len({m.kind for m in found}) == 12 and len({m.line for m in found}) >= 8
    assert found == every(source, "dedent", seed=3, n=12)
    assert found != every(source, "dedent", seed=4, n=12)
    assert found == every(source, "dedent", seed=3, n=40)[:12]


def test_what_is_not_there_is_said():
    for mutate, what in ((mutate_function, "function"), (mutate_class, "class")):
        with pytest.raises(MutationError, match=f"there is no {what} g in the source"):
            mutate("def f(): pass\n", "g", random.Random(0), 1)
        with pytest.raises(MutationError, match="does not parse"):
            mutate("def g(:\n", "g", random.Random(0), 1)
