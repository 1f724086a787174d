"""A private package that does everything in an unusual way, and the folder of wheels that its tests need.

Sources in `lib/`, tests in `qa/check_*.py`, an own build backend that generates a module, its own version read from its
metadata, a data file, requirement files that name each other, a pytest plugin, and a module that nothing declares.
"""

import zipfile

BACKEND = """
import pathlib, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "odd-2.5-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        for path in pathlib.Path("lib").rglob("*.*"):
            wheel.write(path, path.relative_to("lib").as_posix())
        wheel.writestr("odd/_made.py", "WORD = 'made'\\n")
        wheel.writestr("odd-2.5.dist-info/METADATA", "Metadata-Version: 2.1\\nName: odd\\nVersion: 2.5\\n")
        wheel.writestr("odd-2.5.dist-info/entry_points.txt", "[odd.words]\\nfirst = odd.core:first\\n")
        wheel.writestr("odd-2.5.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("odd-2.5.dist-info/RECORD", "")
    return name
"""
CORE = '''"""Words."""

import asyncio
import pathlib
from importlib.metadata import entry_points, version

from odd._made import WORD

VERSION = version("odd")
WORDS = pathlib.Path(__file__).with_name("words.txt").read_text().split()


def first():
    return WORDS[0]


def numbered(start):
    def number(word):
        return f"{start}{word}"

    return [number(word) for word in WORDS]


class Shop:
    @property
    def made(self):
        return WORD

    async def later(self, value):
        await asyncio.sleep(0)
        return value

    def each(self):
        yield from WORDS


def plugins():
    return [point.load()() for point in entry_points(group="odd.words")]
'''
CHECKS = """import asyncio

from odd import core


def check_version():
    assert core.VERSION == "2.5"


def check_made():
    assert core.Shop().made == "made"


def check_first():
    assert core.first() == "alpha" == core.plugins()[0]


def check_numbered():
    assert core.numbered(1) == ["1alpha", "1beta"]


def check_later():
    assert asyncio.run(core.Shop().later(3)) == 3


def check_each(plugged):
    assert list(core.Shop().each())[0] == plugged


def check_undeclared():
    import oddlater

    assert oddlater.WORD == core.WORDS[1]


def check_order_of_a_set():
    assert next(iter({"a", "b", "c", "d"})) == "d"


def check_service():
    import socket

    socket.create_connection(("127.0.0.1", 9), timeout=1)
"""
FILES = {
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    "backend.py": BACKEND,
    "setup.cfg": "[tool:pytest]\npython_files = check_*.py\npython_functions = check_*\naddopts = --no-such-option\n",
    "requirements/test.txt": "-r more/plugin.txt\n-c limits.txt\n",
    "requirements/more/plugin.txt": "pytest-oddplugin\n",
    "requirements/limits.txt": "pytest-oddplugin==1.0\n",
    "lib/odd/__init__.py": "",
    "lib/odd/core.py": CORE,
    "lib/odd/words.txt": "alpha\nbeta\n",
    "qa/check_core.py": CHECKS,
}
PLUGIN = "import pytest\n\n\n@pytest.fixture\ndef plugged():\n    return 'alpha'\n"


def make_wheels(folder):
    """A plugin of pytest in two versions, and the module that nobody declares."""
    folder.mkdir()
    _wheel(folder, "pytest_oddplugin", "1.0", PLUGIN, "[pytest11]\noddplugin = pytest_oddplugin\n")
    _wheel(folder, "pytest_oddplugin", "2.0", PLUGIN.replace("alpha", "broken"), "")
    _wheel(folder, "oddlater", "1.0", "WORD = 'beta'\n", "")
    return folder


def _wheel(folder, name, version, text, points):
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", text)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/entry_points.txt", points)
        wheel.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in (f"{name}.py", f"{info}/METADATA")))
