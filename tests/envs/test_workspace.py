"""What an agent is given shows nothing of the repair, and what it changed is seen from outside."""

import shutil
import subprocess

import pytest
from shop_repository import BROKEN, FILES, MONEY

from envs.changes import MAX_CHANGED
from envs.git_objects import EPOCH, blob, one_commit
from envs.workspace import open_workspace
from sandbox import open_backend


@pytest.fixture
async def place(backend, task, profile, limits):
    workspace = await open_workspace(backend, task, profile, limits)
    yield workspace
    await workspace.close()


def assert_nothing_changed(changes):
    assert (changes.before, changes.after, changes.left_out) == ({}, {}, [])


async def said(place, command):
    return (await place.sandbox.run(command)).output.strip()


def test_git_accepts_what_we_write(tmp_path):
    files = {f"{'d/' * depth}file {depth}.py": (blob(b"x = %d\n" % depth), depth % 2 == 0) for depth in range(40)}
    files |= {"a": (blob(b""), False), "a.b/c": (blob(b"\xff" * 5000), False), "a-b": (blob("ü".encode()), True)}
    for path, data in one_commit(files).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)

    def git(*words):
        return subprocess.run(["git", *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert git("fsck", "--strict", "--full", "--lost-found") == ""
    assert len(git("log", "--all", "--oneline").splitlines()) == 1
    git("checkout", "--", ".")
    assert git("status", "--short") == ""
    assert (tmp_path / "a.b/c").read_bytes() == b"\xff" * 5000 and (tmp_path / "a-b").stat().st_mode & 0o100
    assert one_commit(dict(reversed(files.items()))) == one_commit(files)


@pytest.mark.parametrize("engine", ["local", pytest.param("docker", marks=pytest.mark.docker)])
async def test_the_repository_has_one_commit_and_no_other_trace(engine, task, profile, limits):
    backend = await open_backend(engine)
    place = await open_workspace(backend, task, profile, limits)
    assert await said(place, "git status --short; git reflog; git stash list; git remote; git tag; git fsck 2>&1") == ""
    assert (await said(place, "git log --all --format='%s %at'")) == f"Initial commit {EPOCH}"
    assert await said(place, "find .git -type f ! -path '*/pack/*' | sort") == (
        "\n".join([".git/HEAD", ".git/config", ".git/index", ".git/refs/heads/main"])
    )
    contents = await said(place, "git cat-file --batch-all-objects --batch")
    assert "sum(prices) - tax" in contents and "sum(prices) + tax" not in contents
    await place.close()
    await backend.close()


async def test_times_tell_nothing(place, task):
    assert task.setup.keys() == {"shop/money.py"} and "shop/money.py" not in task.problem_statement
    assert await said(place, "find . -printf '%T@\\n' | sort -u") == f"{EPOCH}.0000000000"
    changed = (await said(place, "stat -c %.Z $(git ls-files)")).split()
    assert max(map(float, changed)) - min(map(float, changed)) < 0.5 and len(changed) == len(FILES)


async def test_what_was_changed_is_found_however_it_was_done(place):
    script = """
    sed -i 's/- tax/+ tax/' shop/money.py
    sed -i 's/word/words/' shop/text.py; touch -d @946684800 shop/text.py
    printf 'new\\n' >'a file.txt'; mkdir -p deep/er; echo x >deep/er/y.py
    rm tests/test_text.py
    python -c 'import shop.money'; mkdir -p shop/__pycache__; echo junk >shop/__pycache__/x.pyc; echo junk >z.pyc
    git add -A; git -c user.name=a -c user.email=b commit -qm 'mine'; rm -rf .git
    """
    await place.sandbox.run(script)
    changes = await place.changes()
    before, after = changes.before, changes.after
    new = {"a file.txt": "new\n", "deep/er/y.py": "x\n", "tests/test_text.py": None}
    assert after == {**new, "shop/money.py": MONEY, "shop/text.py": FILES["shop/text.py"].replace("word", "words")}
    assert before["tests/test_text.py"] == FILES["tests/test_text.py"] and before["a file.txt"] is None
    assert before["shop/money.py"] == BROKEN and changes.left_out == []


async def test_who_sets_the_old_time_on_a_file_of_the_old_size_hides_nothing(place):
    """The time of the last change of status is the kernel's: nobody can choose it."""
    await place.sandbox.run("sed -i 's/- tax/+ tax/' shop/money.py; touch -d @946684800 shop/money.py")
    changes = await place.changes()
    assert changes.after == {"shop/money.py": MONEY} and changes.before == {"shop/money.py": BROKEN}


async def test_what_no_patch_can_hold_is_left_out_and_said(place):
    script = (
        "ln -s /etc/passwd link; head -c 3000 /dev/urandom >data.bin; head -c 2000000 /dev/zero >big.txt; mkfifo pipe"
    )
    script += "; echo x >\"$(printf 'odd\\377.py')\""
    await place.sandbox.run(f"{script}; rm shop/text.py; ln -s money.py shop/text.py")
    changes = await place.changes()
    before, after = changes.before, changes.after
    assert after == {} and before == {}
    assert changes.left_out == ["big.txt", "data.bin", "link", "odd\\xff.py", "shop/text.py"]


async def test_an_agent_cannot_put_its_own_programs_in_the_way(place):
    trojans = "find() { echo forged; }; alias find=true; export PATH=/tmp:$PATH LD_PRELOAD=/tmp/x.so; "
    await place.sandbox.run(trojans + "printf '#!/bin/sh\\necho forged' >/tmp/find; chmod +x /tmp/find; echo z >z.py")
    assert (await place.changes()).after == {"z.py": "z\n"}


async def test_nothing_changed(place):
    await place.sandbox.run("git status; touch README.md; chmod +x README.md; python -m unittest -q")
    assert_nothing_changed(await place.changes())


async def test_a_large_tree_loses_no_change(backend, task, profile, limits, tmp_path):
    """Its files keep the times that they had, and thousands of new ones do not hide what was edited."""
    tree = tmp_path / "large"
    shutil.copytree(profile.tree, tree)
    (tree / "a").mkdir()
    for number in range(2100):
        (tree / f"a/{number}.py").write_text("")
    large = profile.model_copy(update={"tree": tree, "name": "large"})
    place = await open_workspace(backend, task, large, limits)
    assert_nothing_changed(await place.changes())
    await place.sandbox.run("echo x >> shop/text.py; rm a/7.py; mkdir b; cd b; touch $(seq 1001)")
    changes = await place.changes()
    before, after = changes.before, changes.after
    assert {"shop/text.py", "a/7.py"} < before.keys() and after["a/7.py"] is None
    assert len(before) == MAX_CHANGED and len(changes.left_out) == 3
    await place.close()
