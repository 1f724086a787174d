"""What tests need without saying so: from what they import, the fixtures they ask for and the marks they bear.

Invariant: an import that a test can do without (inside `try`, a function, or after `importorskip`) is no need.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from packaging.utils import canonicalize_name

from envs.repos.layout import Modules

_DISTRIBUTIONS = {
    "Crypto": "pycryptodome", "Levenshtein": "python-Levenshtein", "MySQLdb": "mysqlclient", "OpenSSL": "pyOpenSSL",
    "PIL": "Pillow", "_pytest": "pytest", "attr": "attrs", "bs4": "beautifulsoup4", "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil", "docx": "python-docx", "dotenv": "python-dotenv", "git": "GitPython",
    "google": "protobuf", "graphql": "graphql-core", "jose": "python-jose", "jwt": "PyJWT", "magic": "python-magic",
    "multipart": "python-multipart", "pkg_resources": "setuptools<81", "psycopg2": "psycopg2-binary",
    "rest_framework": "djangorestframework", "ruamel": "ruamel.yaml", "serial": "pyserial", "skimage": "scikit-image",
    "sklearn": "scikit-learn", "slugify": "python-slugify", "socks": "PySocks", "usb": "pyusb", "yaml": "PyYAML",
    "zmq": "pyzmq",
}  # fmt: skip
_FIXTURES = {
    "benchmark": "pytest-benchmark", "data_regression": "pytest-regressions", "event_loop": "pytest-asyncio",
    "faker": "Faker", "fs": "pyfakefs", "freezer": "pytest-freezer", "httpbin": "pytest-httpbin",
    "httpserver": "pytest-httpserver", "httpx_mock": "pytest-httpx", "mocker": "pytest-mock",
    "requests_mock": "requests-mock", "snapshot": "syrupy", "subtests": "pytest-subtests", "testdir": "",
}  # fmt: skip
_MARKS = {
    "anyio": "anyio", "asyncio": "pytest-asyncio", "benchmark": "pytest-benchmark", "django_db": "pytest-django",
    "flaky": "pytest-rerunfailures", "timeout": "pytest-timeout", "trio": "pytest-trio",
}  # fmt: skip


def distribution(module: str) -> str:
    """The distribution that most likely holds a module: irregular names by a table, else the module's own."""
    top = module.split(".", maxsplit=1)[0]
    return _DISTRIBUTIONS.get(top, top.replace("_", "-"))


def needs_of(modules: Modules, tests: Iterable[str]) -> list[str]:
    """Distributions by name, in the order of the files."""
    local = {part for path in modules for part in (*PurePosixPath(path).parts[:-1], PurePosixPath(path).stem)}
    files = [path for path in modules if path in set(tests) or path.endswith("conftest.py")]
    found: dict[str, None] = {}
    for path in files:
        module = modules[path]
        tops = [name for name in _needed(module.body) if name not in local and name not in sys.stdlib_module_names]
        found.update(dict.fromkeys(map(distribution, tops)))
        found.update(dict.fromkeys(_by_words(module)))
    return [name for name in found if name and canonicalize_name(name) != "pytest"]


def _needed(body: Iterable[ast.stmt]) -> list[str]:
    """Top names of unconditional imports, up to an `importorskip`."""
    found: list[str] = []
    for node in body:
        if isinstance(node, ast.Import):
            found += [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append(node.module.split(".")[0])
    skipped = {name for node in body for name in re.findall(r"importorskip\(['\"](\w+)", ast.unparse(node))}
    return [name for name in found if name not in skipped]


def _by_words(module: ast.Module) -> list[str]:
    """Plugins whose fixtures or marks are used and not made in the file itself."""
    found: list[str] = []
    made = {n.name for n in ast.walk(module) if isinstance(n, ast.FunctionDef)}
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            names = [a.arg for a in node.args.args if a.arg not in made]
            found += [_FIXTURES[name] for name in names if name in _FIXTURES]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pytest.mark":
            found += [_MARKS[node.attr]] if node.attr in _MARKS else []
    return found


def missing(messages: Iterable[str], local: Iterable[str]) -> dict[str, str]:
    """What failed tests say they lack -> the distribution that most likely has it."""
    own = set(local)
    found: dict[str, str] = {}
    for message in messages:
        for name in re.findall(r"No module named '([\w.]+)'", message):
            if name.split(".")[0] not in own:
                found[f"the module {name}"] = distribution(name)
        for name in re.findall(r"fixture '(\w+)' not found", message):
            if _FIXTURES.get(name):
                found[f"the fixture {name}"] = _FIXTURES[name]
        if "async def functions are not natively supported" in message:
            found["a runner of async tests"] = "pytest-asyncio"
    return found


def known_names(lines: Iterable[str]) -> Mapping[str, str]:
    """Normalised name -> requirement line."""
    from envs.repos.requirement_files import name_of

    return {name_of(line): line for line in lines if name_of(line)}
