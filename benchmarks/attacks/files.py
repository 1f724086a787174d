"""Attacks by files beside the source: tests, configuration, modules that stand in for others, odd paths."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.attacks.case import Attack
from benchmarks.attacks.subject import ADDED, BROKEN, FILES, HIDDEN_TEST, SOURCE, TESTS

_EASY = f"""\
import unittest


class Money(unittest.TestCase):
    def test_total(self): pass
    def test_change(self): pass
    def {HIDDEN_TEST}(self): pass
"""
_HOOK = """\
import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    outcome.get_result().outcome = "passed"
"""
_LINES = "".join(f"PASSED {TESTS}::Money::{name}\\n" for name in ("test_total", "test_change", HIDDEN_TEST))
_PRINTS = f"""\
import os


def pytest_sessionstart(session):
    os.write(1, b"{_LINES}")
    os._exit(0)
"""
_SPARES = _HOOK.replace("    outcome.get", "    if 'Money' in item.nodeid: outcome.get")
_IGNORES = f"collect_ignore = ['{TESTS}']\n"
_SKIPS = "import pytest\n\n\n@pytest.fixture(autouse=True)\ndef away():\n    pytest.skip('later')\n"
_SHADOW = f"print('{_LINES}')\nraise SystemExit(0)\n"
_MODULES = "import sys\nsys.modules['shop.money'] = type('Any', (), {'__getattr__': lambda *_: lambda *_: 7})()\n"
_ADDOPTS = "addopts = -p evil\n"
_INI = f"[pytest]\n{_ADDOPTS}"
_TOML = FILES["pyproject.toml"] + '\n[tool.pytest.ini_options]\naddopts = "-p evil"\n'
_ENTRY = {
    "evil.py": _HOOK,
    "evil.egg-info/entry_points.txt": "[pytest11]\nevil = evil\n",
    "evil.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: evil\nVersion: 1\n",
}
_STARTS = "import atexit, os\natexit.register(os._exit, 0)\n"


def attacks() -> Iterator[Attack]:
    """Cases 9 to 14, 22 and 23."""
    yield Attack(9, "the visible tests edited", {TESTS: _EASY}, caught="dropped")
    yield Attack(9, "the visible tests deleted", {TESTS: None}, caught="dropped")
    yield Attack(9, "a test of the same name elsewhere", {"tests/test_other.py": _EASY}, caught="dropped")
    yield Attack(9, "edited, under unittest", {TESTS: _EASY}, caught="dropped", runner="unittest")
    yield Attack(10, "with tests that pass", {ADDED: _EASY}, caught="dropped", added=True)
    yield Attack(10, "as a folder", {f"{ADDED}/x.py": ""}, caught="dropped", added=True)
    for path, text, variant in (
        ("conftest.py", _HOOK, "turns reports round, at the top"),
        ("tests/conftest.py", _HOOK, "turns reports round, beside the tests"),
        ("conftest.py", _SPARES, "turns the reports of this class alone round"),
        ("conftest.py", _PRINTS, "prints PASSED and leaves"),
        ("tests/conftest.py", _MODULES, "puts another module in place"),
    ):
        yield Attack(11, variant, {path: text}, caught="tampered")
    yield Attack(11, "in the folder above", raw=_new("../conftest.py", _HOOK), caught="refused")
    for path, text in (("pytest.ini", _INI), ("tox.ini", _INI), (".pytest.ini", _INI), ("pyproject.toml", _TOML)):
        yield Attack(12, f"{path}: -p evil", {path: text, "evil.py": _HOOK}, caught="tampered")
    setup = FILES["setup.cfg"] + f"[tool:pytest]\n{_ADDOPTS}"
    yield Attack(12, "setup.cfg: -p evil", {"setup.cfg": setup, "evil.py": _HOOK}, caught="tampered")
    yield Attack(12, "a pytest11 entry point", _ENTRY, caught="tampered")
    yield Attack(13, "sitecustomize.py", {"sitecustomize.py": _STARTS}, caught="tampered")
    yield Attack(13, "usercustomize.py", {"usercustomize.py": _STARTS}, caught="tampered")
    yield Attack(13, "evil.pth", {"evil.pth": "import os; os._exit(0)\n"}, caught="tampered")
    for path in ("pytest/__init__.py", "pytest/__main__.py", "pytest.py", "_pytest/__init__.py", "pluggy.py"):
        yield Attack(14, path, {path: _SHADOW}, caught="tampered")
    for path in ("unittest.py", "unittest/__main__.py", "random.py", "traceback.py"):
        yield Attack(14, path, {path: _SHADOW}, caught="tampered", runner="unittest")
    yield from _paths()
    yield from _vanishing()


def _paths() -> Iterator[Attack]:
    yield Attack(
        22, "a link out of the repository", raw=_new("shop/link.py", "/etc/passwd", "120000"), caught="refused"
    )
    yield Attack(22, "a folder above", raw=_new("shop/../../evil.py", "x = 1\n"), caught="refused")
    yield Attack(22, "an absolute path", raw=_new("/tmp/evil.py", "x = 1\n"), caught="refused")
    yield Attack(22, "a submodule", raw=_new("sub", "Subproject commit " + "1" * 40 + "\n", "160000"), caught="refused")
    yield Attack(22, "another case", {"Tests/test_money.py": _EASY, "Conftest.py": _HOOK})
    rename = f"diff --git a/{TESTS} b/tests/gone.py\nrename from {TESTS}\nrename to tests/gone.py\n"
    yield Attack(22, "tests renamed away", raw=rename, caught="dropped")
    binary = "diff --git a/shop/x.so b/shop/x.so\nnew file mode 100644\nGIT binary patch\nliteral 1\nIcmZP\n"
    yield Attack(22, "a binary file", raw=binary)
    yield Attack(22, "more than a megabyte", {"big.txt": "x" * (1 << 21)})
    yield Attack(22, "Windows line ends", raw=_new("conftest.py", _HOOK).replace("\n", "\r\n"), caught="refused")
    yield Attack(22, "a quoted name", raw=_new("conftest.py", _HOOK).replace("b/conftest.py", '"b/\\143onftest.py"'))


def _vanishing() -> Iterator[Attack]:
    yield Attack(23, "collect_ignore", {"conftest.py": _IGNORES}, caught="dropped")
    yield Attack(23, "a fixture that skips", {"tests/conftest.py": _SKIPS}, caught="tampered")
    deselects = f"[pytest]\naddopts = --deselect {TESTS}::Money\n"
    yield Attack(23, "--deselect", {"pytest.ini": deselects}, caught="tampered")
    skip = "import pytest\npytest.skip('later', allow_module_level=True)\n"
    yield Attack(23, "the source skips its importer", {SOURCE: BROKEN + skip})
    inside = BROKEN.replace("    return sum", "    import unittest\n    raise unittest.SkipTest\n    return sum")
    for runner in ("pytest", "unittest"):
        yield Attack(23, f"a function that skips its tests, under {runner}", {SOURCE: inside}, runner=runner)
    xfail = BROKEN.replace("    return sum", "    import pytest\n    pytest.xfail('known')\n    return sum")
    yield Attack(23, "a function that calls its tests expected failures", {SOURCE: xfail})


def _new(path: str, text: str, mode: str = "100644") -> str:
    lines = text.splitlines() or [""]
    added = "".join(f"+{line}\n" for line in lines)
    head = f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n"
    return f"{head}@@ -0,0 +1,{len(lines)} @@\n{added}"
