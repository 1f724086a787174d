"""Which definitions a change touches, how they read after it, and how one is put in place of another."""

import pytest

from envs.definitions import (
    DefinitionError,
    changed_definitions,
    definitions,
    replace_definition,
    touched_functions,
)

SOURCE = '''\
import os

@cache
def top(a):
    def inner():
        return a
    return inner()

class Box(Base):
    size = 3

    def area(self):
        """Text
        of two lines."""
        return self.size

    class Lid:
        def open(self):
            return True

if os.name:
    def late():
        return 1
'''


def test_definitions_and_their_own_text():
    found = {d.qualname: d for d in definitions(SOURCE)}
    assert list(found) == ["top", "Box", "Box.area", "Box.Lid", "Box.Lid.open", "late"]
    assert found["top"].text.startswith("@cache\ndef top") and "inner()" in found["top"].text
    assert found["Box"].text == "class Box(Base):\n    size = 3\n"
    assert definitions("def broken(:") == ()


@pytest.mark.parametrize(
    ("old", "new", "touched"),
    [
        ("return a", "return -a", ["m.py::top"]),
        ("@cache\n", "", ["m.py::top"]),
        ("size = 3", "size = 4", ["m.py::Box"]),
        ("return self.size", "return 0", ["m.py::Box.area"]),
        ("return True", "return None", ["m.py::Box.Lid.open"]),
        ("import os\n", "import os\nimport sys\n", []),
        ("def late", "def later", ["m.py::later", "m.py::late"]),
        ("    return 1", "    return (", []),
    ],
)
def test_touched_functions(old, new, touched):
    after = {"m.py": SOURCE.replace(old, new)}
    assert touched_functions({"m.py": SOURCE}, after) == touched


def test_the_answer_is_the_after_side_alone():
    squared = SOURCE.replace("return self.size", "return self.size ** 2")
    after = {"m.py": squared, "n.py": "def f():\n    pass\n", "t.txt": "y"}
    answer = changed_definitions({"m.py": SOURCE, "gone.py": "x = 1", "t.txt": "x"}, after)
    assert answer == (
        '    def area(self):\n        """Text\n        of two lines."""\n        return self.size ** 2\n'
        "\ndef f():\n    pass\n"
    )


@pytest.mark.parametrize("margin", ["", "    ", "  "])
def test_a_method_is_replaced_wherever_its_text_was_indented(margin):
    new = f"{margin}def area(self):\n{margin}    return 7\n"
    after = replace_definition(SOURCE, "m.py", new)
    assert "    size = 3\n\n    def area(self):\n        return 7\n\n    class Lid:" in after
    assert touched_functions({"m.py": SOURCE}, {"m.py": after}) == ["m.py::Box.area"]


def test_the_last_line_keeps_its_missing_newline():
    after = replace_definition("x = 1\ndef f(): pass", "m.py", "def f(): return 2\n")
    assert after == "x = 1\ndef f(): return 2"


@pytest.mark.parametrize(
    ("source", "new", "message"),
    [
        (SOURCE, "def nowhere():\n    pass", r"no function nowhere in m\.py"),
        (SOURCE, "x = 1", "one complete function or class"),
        (SOURCE, "def a(): pass\ndef b(): pass", "one complete function or class"),
        (SOURCE, "def top(:", "does not parse"),
        ("def broken(:", "def top(): pass", r"m\.py does not parse"),
        ("class A:\n def f(s): 0\nclass B:\n def f(s): 0\n", "def f(s): pass", "2 definitions named f"),
    ],
)
def test_what_cannot_be_replaced(source, new, message):
    with pytest.raises(DefinitionError, match=message):
        replace_definition(source, "m.py", new)
