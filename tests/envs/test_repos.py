"""Plugging in repositories: from a folder, an index, git, a seed; and everything that can be wrong with one."""

import asyncio
import contextlib
import errno
import hashlib
import io
import os
import subprocess
import tarfile
import time

import pytest
from small_package import FILES, FLAKY, PREFIX, write

from envs.repos import RepoError, add, add_repository, fetch, list_profiles, load_profile, parse_source
from envs.repos.detect import detect, requirements_of
from envs.runtime import image_of
from envs.testing.runner import Job, run_jobs
from sandbox.home import home
from sandbox.protocol import Limits

BACKEND = """
import pathlib
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = pathlib.Path(folder) / "small-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: small\\nVersion: 1.5\\n")
    return info.name
"""
PACKAGING = {
    "PKG-INFO": "Metadata-Version: 2.1\nName: small\nVersion: 1.5\n",
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    "backend.py": BACKEND,
}


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path / "home"))


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Pip finds source distributions in a folder and nowhere else; the function puts one there."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)

    def put(files):
        archive = folder / "small-1.5.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            for path, text in files.items():
                info = tarfile.TarInfo(f"small-1.5/{path}")
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
        return hashlib.sha256(archive.read_bytes()).hexdigest()

    return put


def no_trace():
    """Nothing half-made is left in the home folder; lock files may stay."""
    return [entry.name for entry in (home() / "repos").iterdir() if entry.is_dir()] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("npm:left-pad", "unknown scheme 'npm'"),
        ("./no/such/folder", "no folder"),
        ("pypi:", "is no package"),
        ("pypi:a b", "is no package"),
        ("pypi:a==1#md5=00", "broken hash"),
        ("pypi:a#sha256=" + "0" * 64, "no version"),
        ("generated:seed=x", "means nothing"),
        ("generated:size=3", "means nothing"),
        ("git+nowhere", "no git address"),
    ],
)
def test_a_source_with_a_mistake_is_told_in_one_sentence(text, message):
    with pytest.raises(RepoError, match=message) as caught:
        parse_source(text)
    assert "\n" not in str(caught.value)


def test_sources_are_read():
    assert parse_source("pypi:More_Itertools==10.8.0").name == "more-itertools"
    assert parse_source("generated:modules=3").text == "generated:seed=0,modules=3"
    git = parse_source("git+https://host/a/b.git@v1.2")
    assert (git.url, git.revision, git.name) == ("https://host/a/b.git", "v1.2", "b")


async def test_a_folder_becomes_a_profile(tmp_path, backend):
    folder = write(tmp_path / "small")
    profile = await add_repository(str(folder), backend=backend)
    assert (profile.name, profile.log_parser) == ("small", "unittest")
    assert profile.source_files == ("small/__init__.py", "small/numbers.py")
    assert profile.flaky == (FLAKY,)
    assert set(profile.covers["small/numbers.py::clamp"]) == {
        PREFIX + "ClampTest." + name for name in ("test_low", "test_high", "test_inside")
    }
    assert profile.covers["small/numbers.py::Box.put"] == (PREFIX + "BoxTest.test_full", PREFIX + "BoxTest.test_put")
    assert profile.covers["small/numbers.py::countdown"]
    assert load_profile("small") == profile == list_profiles()[0]
    assert {path.stat().st_mtime for path in profile.tree.rglob("*")} == {fetch.EPOCH}


async def test_equal_contents_are_measured_once(tmp_path, backend):
    first = await add_repository(str(write(tmp_path / "small")), backend=backend)
    started = len(backend.started)
    assert await add_repository(str(write(tmp_path / "other" / "small")), backend=backend) == first
    assert len(backend.started) == started
    write(tmp_path / "small", {"small/numbers.py": FILES["small/numbers.py"] + "\nX = 1\n"})
    changed = await add_repository(str(tmp_path / "small"), backend=backend)
    assert changed.base_commit != first.base_commit
    assert load_profile("small") == changed


async def test_what_is_not_source_stays_behind(tmp_path, backend):
    folder = write(tmp_path / "small")
    write(folder, {".git/config": "", "__pycache__/x.pyc": "", ".venv/pyvenv.cfg": "", "env/pyvenv.cfg": ""})
    (folder / "secret").symlink_to("/etc/passwd")
    (folder / "copy.md").symlink_to("README.md")
    profile = await add_repository(str(folder), backend=backend)
    assert sorted(p.name for p in profile.tree.iterdir()) == ["README.md", "copy.md", "small", "tests"]


async def test_a_source_layout_is_found(tmp_path, backend):
    files = {path.replace("small/", "src/small/"): text for path, text in FILES.items()}
    profile = await add_repository(str(write(tmp_path / "odd", files)), backend=backend)
    assert profile.test_cmd == "PYTHONPATH=src python -m unittest -v {tests}"
    assert "src/small/numbers.py::mean" in profile.covers


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"small/numbers.py": "x = 1\n"}, "no tests were found"),
        ({"tests/test_a.py": FILES["tests/test_numbers.py"]}, "no Python sources"),
        ({**FILES, "small/numbers.py": "import nothing_like_this\n"}, "none of its .* tests passes.*nothing_like_this"),
    ],
)
async def test_a_repository_that_cannot_be_used_is_told_in_one_sentence(tmp_path, backend, files, message):
    with pytest.raises(RepoError, match=message) as caught:
        await add_repository(str(write(tmp_path / "small", files)), backend=backend)
    assert "\n" not in str(caught.value)
    assert no_trace()


async def test_a_full_disk_is_told(tmp_path, backend, monkeypatch):
    async def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(add, "fetch", full)
    with pytest.raises(RepoError, match="no space is left below"):
        await add_repository(str(write(tmp_path / "small")), backend=backend)


async def test_an_interrupted_addition_leaves_nothing(tmp_path, backend):
    slow = FILES["tests/test_numbers.py"].replace("seen.append(1)", "__import__('time').sleep(60)")
    folder = write(tmp_path / "small", {**FILES, "tests/test_numbers.py": slow})
    adding = asyncio.create_task(add_repository(str(folder), backend=backend))
    await backend.has_started.wait()
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    assert no_trace()
    assert await backend.alive() == []


async def test_what_a_killed_addition_left_is_removed(tmp_path, backend):
    killed = await asyncio.create_subprocess_exec("true")
    await killed.wait()
    left, own = (add.repos_folder() / f".adding-{pid}-x" for pid in (killed.pid, os.getpid()))
    (left / "tree").mkdir(parents=True)
    own.mkdir()
    await add_repository(str(write(tmp_path / "small")), backend=backend)
    assert not left.exists() and own.exists()


async def test_a_package_is_fetched_by_pip_and_pinned(index, backend):
    digest = index({**FILES, **PACKAGING})
    profile = await add_repository(f"pypi:small==1.5#sha256={digest}", backend=backend)
    assert (profile.name, profile.version, profile.source) == ("small", "1.5", "pypi:small==1.5")
    assert digest in (profile.tree.parent / "source.json").read_text()
    began = time.monotonic()
    assert await add_repository("pypi:small==1.5", backend=backend) == profile
    assert time.monotonic() - began < 0.5, "pip was asked again"
    with pytest.raises(RepoError, match=f"has sha256 {digest}, not"):
        await add_repository("pypi:small==1.5#sha256=" + "0" * 64, backend=backend)


async def test_packages_that_cannot_be_had(index, backend):
    digest = index({**FILES, **PACKAGING})
    with pytest.raises(RepoError, match=f"has sha256 {digest}, not the 0000"):
        await add_repository("pypi:small==1.5#sha256=" + "0" * 64, backend=backend)
    with pytest.raises(RepoError, match=r"no such version; the newest are 1\.5"):
        await add_repository("pypi:small==9", backend=backend)
    with pytest.raises(RepoError, match="no index that pip knows has a source distribution of 'smaller'"):
        await add_repository("pypi:smaller", backend=backend)
    index({"small/__init__.py": "x = 1\n", **PACKAGING})
    with pytest.raises(RepoError, match="no tests were found"):
        await add_repository("pypi:small", backend=backend)
    assert no_trace()


async def test_the_package_under_test_is_not_installed(index, backend):
    """Its metadata is there all the same, in every sandbox: many packages ask for their own version."""
    index({**FILES, **PACKAGING})
    profile = await add_repository("pypi:small==1.5", backend=backend)
    code, output = await fetch.command(str(profile.python), "-I", "-c", "import small")
    assert code
    assert "No module named 'small'" in output
    sandbox = await backend.start(image_of(profile), Limits())
    ran = await sandbox.run(["python", "-c", "import importlib.metadata as m; print(m.version('small'))"])
    await sandbox.stop()
    assert ran.stdout == "1.5\n", ran.output


@pytest.mark.parametrize("name", ["../evil", "{outside}/evil", "small-1.5/../../evil"])
def test_an_archive_cannot_write_outside(tmp_path, name):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo(name.format(outside=tmp_path / "outside")), io.BytesIO())
    with contextlib.suppress(RepoError):  # refused, or put inside
        fetch.unpack(tmp_path / "a.tar.gz", tmp_path / "in" / "tree")
    assert [path for path in tmp_path.rglob("evil") if not path.is_relative_to(tmp_path / "in" / "tree")] == []


def test_an_archive_with_a_link_outside_is_refused(tmp_path):
    link = tarfile.TarInfo("a/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.addfile(link)
    with pytest.raises(RepoError, match="cannot be unpacked"):
        fetch.unpack(tmp_path / "a.tar.gz", tmp_path / "tree")


def test_an_archive_that_is_too_big_is_refused(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for number in range(5):
            tar.addfile(tarfile.TarInfo(f"a/{number}"), io.BytesIO())
    monkeypatch.setattr(fetch, "MAX_FILES", 4)
    with pytest.raises(RepoError, match="too much"):
        fetch.unpack(tmp_path / "a.tar.gz", tmp_path / "tree")


async def test_a_git_repository_at_a_revision(tmp_path, backend):
    folder = write(tmp_path / "small")

    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
        return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    git("tag", "v1.4.2")
    commit = git("rev-parse", "HEAD").strip()
    write(folder, {"small/numbers.py": "broken"})
    git("commit", "-qam", "two")
    profile = await add_repository(f"git+file://{folder}@{commit}", backend=backend)
    assert profile.version == "1.4.2"
    assert profile.base_commit == commit
    assert not (profile.tree / ".git").exists()
    with pytest.raises(RepoError, match="cannot be fetched"):
        await add_repository(f"git+file://{tmp_path}/nothing", backend=backend)


async def test_a_generated_repository(backend):
    profile = await add_repository("generated:seed=3,modules=4", backend=backend)
    assert profile.name == "generated-3"
    assert len(profile.covers) >= 8
    with pytest.raises(RepoError, match="out of range"):
        await add_repository("generated:seed=3,modules=0", backend=backend)


def test_requirements_come_from_the_metadata(tmp_path):
    wanted = ["a>=1", "b; python_version > '3' and extra == 'test'", "c; extra == 'x'"]
    lines = "".join(f"Requires-Dist: {line}\n" for line in wanted)
    write(tmp_path, {"PKG-INFO": f"Metadata-Version: 2.1\nName: n\n{lines}"})
    assert requirements_of(tmp_path, None) == ("a>=1", "b; python_version > '3'")
    assert requirements_of(tmp_path, ".[x] d==2") == ("a>=1", "c", "d==2")


def test_the_runner_is_found_or_given(tmp_path):
    write(tmp_path, {"a.py": "", "test_a.py": "def test_a():\n    pass\n"})
    assert detect(tmp_path).runner == "pytest"
    assert detect(tmp_path, test="python -m unittest").test_cmd == "python -m unittest {tests}"
    with pytest.raises(RepoError, match="neither pytest nor unittest"):
        detect(tmp_path, test="nose")


async def test_a_job_sees_nothing_of_the_one_before(tmp_path, backend):
    profile = await add_repository(str(write(tmp_path / "small")), backend=backend)
    spoiled = {"small/numbers.py": "raise SystemExit", "small/extra.py": "", "tests/test_numbers.py": None}
    target = (PREFIX + "ClampTest",)
    clean, broken, after = await run_jobs(
        profile, [Job(target), Job(target, files=spoiled), Job(target)], backend=backend
    )
    assert clean.passed == after.passed
    assert len(clean.passed) == 3
    assert not broken.passed


@pytest.mark.slow
async def test_a_pytest_repository_gets_pytest(tmp_path, backend):
    tests = "import pytest\nfrom small.numbers import mean\n\n\n@pytest.mark.parametrize('n', [1, 2])\n"
    tests += "def test_mean(n):\n    assert mean([n, n]) == n\n\n\ndef test_none():\n    assert mean([4]) == 4\n"
    files = {**FILES, "tests/test_numbers.py": tests}
    profile = await add_repository(str(write(tmp_path / "small", files)), backend=backend)
    assert profile.log_parser == "pytest"
    assert any(line.startswith("pytest==") for line in profile.requirements)
    assert "tests/test_numbers.py::test_mean[1]" in profile.covers["small/numbers.py::mean"]
