"""What is found out about a repository by looking at it: layouts, needs, test runners, versions of Python."""

import platform
import shlex

import pytest
from small_package import FILES, write

from envs.repos import RepoError
from envs.repos.declared import declared
from envs.repos.detect import detect, requirements_of
from envs.repos.imported import missing
from envs.repos.layout import import_roots, parse_all
from envs.repos.pythons import find_python

TEST = "from small.numbers import mean\n\n\ndef test_mean():\n    assert mean([4]) == 4\n"
SOURCE = FILES["small/numbers.py"]


def found(tmp_path, files, **words):
    return detect(write(tmp_path / "tree", files), **words)


@pytest.mark.parametrize(
    ("source", "test", "roots"),
    [
        ("small/numbers.py", "tests/test_a.py", ""),
        ("src/small/numbers.py", "tests/test_a.py", "src"),
        ("lib/small/numbers.py", "t/check.py", "lib"),
        ("packages/one/src/small/numbers.py", "packages/one/tests/test_a.py", "packages/one/src"),
        ("src/small/numbers.py", "src/small/tests/test_a.py", "src"),
        ("small/numbers.py", "spec/numbers_spec.py", ""),
        ("small/numbers.py", "small/numbers_test.py", ""),
        ("python/small/numbers.py", "unit_tests/mean.py", "python"),
    ],
)
def test_sources_and_tests_are_told_apart_wherever_they_lie(tmp_path, source, test, roots):
    layout = found(tmp_path, {source: SOURCE, test: TEST})
    assert (layout.source_files, layout.test_files) == ((source,), (test,))
    prefix = f"PYTHONPATH={roots} " if roots else ""
    assert layout.test_cmd == f"{prefix}python -m pytest -v -rA -o addopts= -p no:cacheprovider {{tests}}"


def test_flat_modules_and_namespace_packages_are_imported_from_the_right_folder(tmp_path):
    write(tmp_path, {"lib/flat.py": "x = 1\n", "src/ns/one/a.py": "x = 1\n", "other/ns/two/b.py": "x = 1\n"})
    write(tmp_path, {"tests/test_a.py": "import flat\nfrom ns import one\nimport ns.two.b\nimport json\n"})
    assert import_roots(parse_all(tmp_path), ["tests/test_a.py"]) == ("lib", "other", "src")


def test_a_module_that_is_named_like_a_test_but_holds_none_is_a_source(tmp_path):
    layout = found(tmp_path, {"small/tests.py": "def test_odd(x):\n    return x % 2\n", "tests/test_a.py": TEST})
    assert layout.source_files == ("small/tests.py",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("setup.cfg", "[tool:pytest]\npython_files = check_*.py\npython_functions = check\n"),
        ("pytest.ini", "[pytest]\npython_files =\n    check_*.py  # ours\npython_functions = check_*\n"),
        ("tox.ini", "[pytest]\npython_files = check_*.py\npython_functions = check_*\n"),
        ("pyproject.toml", '[tool.pytest.ini_options]\npython_files = ["check_*.py"]\npython_functions = "check"\n'),
    ],
)
def test_what_pytest_is_told_counts(tmp_path, name, text):
    files = {"small/numbers.py": SOURCE, "qa/check_mean.py": TEST.replace("test_", "check_"), name: text}
    layout = found(tmp_path, files)
    assert (layout.test_files, layout.runner) == (("qa/check_mean.py",), "pytest")
    assert layout.source_files == ("small/numbers.py",)


def test_options_that_decide_how_tests_are_imported_are_kept(tmp_path):
    options = "[pytest]\naddopts = --import-mode=importlib -n auto --cov=small -p plug -p no:x -m 'not slow'\n"
    layout = found(tmp_path, {**FILES, "pytest.ini": options})
    words = shlex.split(layout.test_cmd)
    assert words[1:4] == ["python", "-m", "pytest"]
    assert words[0] == "PYTEST_ADDOPTS=--import-mode=importlib -p plug -m 'not slow'"


PYPROJECT = """
[build-system]
requires = []
build-backend = "flit_core.buildapi"
[project]
name = "small"
version = "1.5"
requires-python = ">=3.9"
dependencies = ["a>=1"]
[project.optional-dependencies]
tests = ["b", "small[fast]"]
fast = ["c"]
doc = ["d"]
[dependency-groups]
test = ["e", {include-group = "more"}]
more = ["f", {include-group = "test"}]
"""
POETRY = """
[tool.poetry]
name = "small"
version = "1.5"
[tool.poetry.dependencies]
python = "^3.9"
a = "^1.2"
b = {version = "~0.3.1", extras = ["x"], markers = "os_name == 'posix'"}
c = {version = "*", optional = true}
[tool.poetry.group.test.dependencies]
d = "1.*"
[build-system]
build-backend = "poetry.core.masonry.api"
"""
SETUP_PY = """
from setuptools import setup
TESTS = ["b>1"]
setup(name="small", version="1.5", install_requires=["a"], tests_require=TESTS, extras_require={"testing": TESTS})
"""
SETUP_CFG = """
[metadata]
name = small
[options]
install_requires =
    a
    # a comment
[options.extras_require]
test = b; python_version > "3"
"""
NESTED = {
    "requirements-test.txt": "-r requirements/base.txt\nb\n",
    "requirements/base.txt": "-r ../requirements-test.txt\nc --hash=sha256:00 \\\n --hash=sha256:11\n-c limits.txt\n",
    "requirements/limits.txt": "b==2\n",
}
TOX = "[testenv]\ndeps =\n    py311: a\n    -r{toxinidir}/more.txt\n    {posargs}\nextras = cli\n"


@pytest.mark.parametrize(
    ("files", "needs"),
    [
        ({"pyproject.toml": PYPROJECT}, ("a>=1", "e", "f", "b", "c")),
        ({"pyproject.toml": POETRY}, ("a>=1.2,<2", "b[x]>=0.3.1,<0.4; (os_name == 'posix')", "d==1.*")),
        ({"setup.py": SETUP_PY}, ("a", "b>1")),
        ({"setup.cfg": SETUP_CFG}, ("a", 'b; python_version > "3"')),
        (NESTED, ("c", "b==2")),
        ({"tests/requirements.txt": "a # why\n.\ngit+https://host/x\n-e .[x]\n--index-url x\n"}, ("a",)),
        ({"pyproject.toml": '[dependency-groups]\ndev = ["ruff", "pytest-mock>3", "extra-pkg", "pytest-cov"]\n',
          "tests/test_b.py": "import extra_pkg\n"}, ("extra-pkg", "pytest-mock>3")),
        ({"tox.ini": TOX, "more.txt": "pytest-b\n"}, ("pytest-b",)),
        ({"noxfile.py": "def tests(session):\n    session.install('pytest-c', '.')\n"}, ("pytest-c",)),
        ({"tests/conftest.py": "import yaml, json, small\ntry:\n    import nope\nexcept ImportError:\n    pass\n"},
         ("PyYAML",)),
        ({"tests/test_b.py": "import pytest\nlxml = pytest.importorskip('lxml')\n@pytest.mark.asyncio\n"
          "async def test_x(mocker): pass\n"}, ("pytest-mock", "pytest-asyncio")),
        ({"pytest.ini": "[pytest]\nasyncio_mode = auto\nrequired_plugins = pytest-x>1\n"},
         ("pytest-x>1", "pytest-asyncio")),
    ],
)  # fmt: skip
def test_what_the_tests_need(tmp_path, files, needs):
    assert sorted(found(tmp_path, {**FILES, **files}).needs.all) == sorted(needs)


def test_the_build_backend_and_the_python_are_read(tmp_path):
    known = declared(write(tmp_path, {"pyproject.toml": PYPROJECT}))
    assert (known.backend, known.requires_python, known.version) == ("flit_core.buildapi", ">=3.9", "1.5")
    built = "Metadata-Version: 2.1\nName: small\nVersion: 2\nRequires-Python: >=3.10\nRequires-Dist: z\n"
    known = declared(tmp_path, built)
    assert (known.version, known.requires_python, known.dependencies) == ("2", ">=3.10", ("z",))
    assert declared(write(tmp_path / "plain", FILES)).backend == ""


def test_an_extra_loses_its_word_wherever_it_stands(tmp_path):
    lines = [
        "a ; extra == 'test' and os_name == 'posix'",
        "b ; (os_name == 'nt' or os_name == 'x') and extra == \"test\"",
    ]
    text = "Metadata-Version: 2.1\nName: n\n" + "".join(f"Requires-Dist: {line}\n" for line in lines)
    assert requirements_of(write(tmp_path, {"PKG-INFO": text}), None) == (
        "a ; os_name == 'posix'",
        "b ; (os_name == 'nt' or os_name == 'x')",
    )


def test_what_failed_tests_say_they_lack():
    said = [
        "ModuleNotFoundError: No module named 'yaml.nodes'",
        "No module named 'small.gone'",
        "fixture 'mocker' not found",
    ]
    assert missing(said, {"small"}) == {"the module yaml.nodes": "PyYAML", "the fixture mocker": "pytest-mock"}


@pytest.mark.parametrize(
    ("files", "words", "message"),
    [
        (
            {"small/a.py": "x = 1\n"},
            {},
            r"no tests were found \(files named test_\*\.py or \*_test\.py, or in a folder",
        ),
        ({"tests/test_a.py": TEST}, {}, "no Python sources"),
        ({"a.py": "x = (", "tests/test_a.py": TEST}, {}, r"a.py cannot be parsed \(line 1: '\(' was never closed\)"),
        (FILES, {"test": "make test"}, r"'make test' runs neither pytest nor unittest.*option test"),
        (FILES, {"install": ".[nothing]"}, r"no extra or group 'nothing' \(there are: none\): option install"),
        (FILES, {"install": "-r nothing.txt"}, "no requirement file 'nothing.txt'"),
        (FILES, {"install": "--upgrade x"}, "'--upgrade' means nothing here"),
        ({**FILES, "pyproject.toml": "["}, {}, "pyproject.toml cannot be read"),
        ({**FILES, "setup.cfg": "x"}, {}, "setup.cfg cannot be read"),
        ({**FILES, "tox.ini": "x"}, {}, "tox.ini cannot be read"),
    ],
)
def test_what_cannot_be_found_out_is_asked_for_in_one_sentence(tmp_path, files, words, message):
    with pytest.raises(RepoError, match=message) as caught:
        found(tmp_path, files, **words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "requires", "message"),
    [
        ("3.99", "", "no Python 3.99 was found on this machine"),
        ("2.7.18", "", "no Python 2.7.18|too old"),
        ("/bin/false", "", "'/bin/false' is no Python"),
        (None, ">=3.99", "asks for Python >=3.99, and no interpreter of this machine fits"),
    ],
)
async def test_a_python_that_is_not_there_is_told_in_one_sentence(wanted, requires, message):
    with pytest.raises(RepoError, match=message) as caught:
        await find_python(wanted, requires)
    assert "\n" not in str(caught.value)


async def test_our_own_python_is_taken_where_it_fits():
    for wanted in (None, platform.python_version(), platform.python_version().rpartition(".")[0]):
        assert (await find_python(wanted, ">=3.8"))[1].startswith(platform.python_version().rpartition(".")[0])
