"""Bugs: made on one span, validated by running tests, told by what failed, held out as asked."""

import ast
import asyncio
import random
import textwrap
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from small_package import FLAKY, NUMBERS, PREFIX, write

from envs.generated import candidates
from envs.patch import apply_patch
from envs.repos import add_repository
from envs.runtime import image_of, run_tests
from envs.synthesis import TaskOptions, make_tasks, mutate_function, validate
from envs.synthesis.candidate import Mutant
from envs.synthesis.modifiers import FUNCTION_MODIFIERS
from envs.synthesis.mutants import MutantSupply
from envs.synthesis.mutations import MutationError
from envs.synthesis.splits import assign_splits
from envs.synthesis.statement import MAX_CHARS, problem_statement
from envs.synthesis.units import with_classes
from envs.task import TaskInstance
from envs.testing.runner import Failure
from sandbox.local import LocalBackend
from sandbox.protocol import Limits

EVERY_KIND = '''
from bisect import bisect


def sample(values, other, flag=False, step=2):
    """Its words are not code: 1 < 2 and not 3."""
    total, count = 0, len(values)  # é: bytes are not characters
    if not flag and count > 3:
        raise ValueError(f"{count} is {total + 1} too many")
    for i in range(count):
        if i == step:
            continue
        elif values[i] in other:
            total += values[i] * step
        else:
            total -= max(i, step)
    if flag:
        total = pow(total, step)
    return total, values[1:count]
'''


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The small package, plugged in once."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTEXTRL_HOME", str(home))

        async def add():
            backend = LocalBackend()
            try:
                return await add_repository(str(write(home / "small")), backend=backend)
            finally:
                await backend.close()

        return asyncio.run(add())


def mutant(source, targets=(PREFIX + "ClampTest",)):
    path = "small/numbers.py"
    return Mutant("m", "constant", f"{path}::clamp", {path: source}, {path: NUMBERS}, targets, ())


def test_every_kind_of_bug_is_made():
    found = mutate_function(EVERY_KIND, "sample", random.Random(0), 1000)
    rare = {"attribute", "definition", "remove_wrapper", "statement"}
    assert {mutation.kind for mutation in found} >= FUNCTION_MODIFIERS.keys() - rare


def test_a_bug_is_one_change_that_compiles():
    original = EVERY_KIND.splitlines()
    for mutation in mutate_function(EVERY_KIND, "sample", random.Random(0), 1000):
        compile(mutation.new_source, "sample", "exec")
        assert ast.dump(ast.parse(mutation.new_source)) != ast.dump(ast.parse(EVERY_KIND))
        lines = mutation.new_source.splitlines()
        assert lines[: mutation.line - 1] == original[: mutation.line - 1]
        same = next(n for n in range(len(lines)) if lines[-1 - n] != original[-1 - n] or n + mutation.line > len(lines))
        assert same >= len(original) - mutation.line - 8, "the longest statement of the sample has nine lines"
        assert mutation.before_line == original[mutation.line - 1].strip()
        assert mutation.after_line == lines[mutation.line - 1].strip()
        assert "Its words are not code: 1 < 2 and not 3." in mutation.new_source


@pytest.mark.parametrize("module", [textwrap, random, ast])
def test_bugs_in_real_modules_parse_and_differ(module):
    source = Path(module.__file__).read_text()
    functions = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    found = [m for name in functions for m in mutate_function(source, name, random.Random(1), 4)]
    assert len(found) >= 2 * len(functions)
    assert len({m.new_source for m in found}) == len(found)
    for mutation in found:
        ast.parse(mutation.new_source)


def test_the_seed_decides():
    def lines(seed, n=8):
        return [m.new_source for m in mutate_function(EVERY_KIND, "sample", random.Random(seed), n)]

    assert lines(1) == lines(1)
    assert lines(1) != lines(2)
    assert len(set(lines(1))) == 8


def test_kinds_and_lines_take_turns():
    found = mutate_function(EVERY_KIND, "sample", random.Random(5), 10)
    assert len({m.kind for m in found}) == 10
    assert len({m.line for m in found}) >= 7


def test_methods_and_missing_functions():
    assert mutate_function(NUMBERS, "Box.put", random.Random(0), 2)
    with pytest.raises(MutationError, match=r"no function Box\.take"):
        mutate_function(NUMBERS, "Box.take", random.Random(0), 2)
    with pytest.raises(MutationError, match="does not parse"):
        mutate_function("def f(:", "f", random.Random(0), 2)


async def test_verdicts_come_from_running_the_tests(small, backend):
    wanted = {
        "": NUMBERS.replace("value > high", "value < high"),
        "no test fails": NUMBERS.replace("# the floor", "# a floor"),
        "no test passes": NUMBERS.replace('"""Numbers."""', "import nothing_like_this"),
        "hangs": NUMBERS.replace("if value > high:", "while value > high:").replace("return high", "pass"),
        "crashes": NUMBERS.replace("return high", "import os; os._exit(0)"),
    }
    found = await validate(small, [mutant(source) for source in wanted.values()], backend=backend)
    assert [verdict.reason for verdict in found] == list(wanted)
    good = found[0]
    assert set(good.FAIL_TO_PASS) == {PREFIX + "ClampTest.test_high", PREFIX + "ClampTest.test_inside"}
    assert good.PASS_TO_PASS == (PREFIX + "ClampTest.test_low",)
    assert good.failures[good.FAIL_TO_PASS[0]].path == "tests/test_numbers.py"


async def test_flaky_tests_count_for_nothing(small, backend):
    source = NUMBERS.replace("value > high", "value < high")
    targets = (PREFIX + "OrderTest", PREFIX + "ClampTest")
    (verdict,) = await validate(small, [mutant(source, targets)], backend=backend)
    assert FLAKY not in verdict.FAIL_TO_PASS + verdict.PASS_TO_PASS
    assert PREFIX + "OrderTest.test_a_first" in verdict.PASS_TO_PASS


async def test_what_depends_on_the_hash_seed_is_no_evidence(small, backend):
    unsteady = NUMBERS.replace("return high", "return high + (hash('a') % 2 != hash('b') % 2)")
    found = await validate(small, [mutant(unsteady)], backend=backend, repeats=6)
    assert found[0].reason == "no test fails"


async def test_the_number_of_workers_changes_nothing(small):
    options = TaskOptions(bugs=8, per_function=4, repeats=1)
    made = []
    for workers in (1, 3):
        backend = LocalBackend()
        made.append(await make_tasks(small, options, backend=backend, workers=workers))
        await backend.close()
    assert made[0] == made[1]
    assert len(made[0]) == 8


async def test_tasks_hold_what_they_say(small, backend):
    funnel = Counter()
    tasks = await make_tasks(small, TaskOptions(bugs=6, per_function=3), backend=backend, funnel=funnel)
    assert len({task.instance_id for task in tasks}) == 6
    assert funnel["valid"] >= 6
    assert max(Counter(task.functions[0] for task in tasks).values()) == 3
    for task in tasks:
        assert apply_patch(task.setup.get, task.patch) == {"small/numbers.py": NUMBERS}
        assert len(task.problem_statement) < MAX_CHARS
        assert task.difficulty is not None and task.difficulty.lines >= 1 and task.difficulty.distance == 1
        assert task.difficulty.tests_broken == len(task.FAIL_TO_PASS)
        assert task.test_targets == ("tests.test_numbers",), "all of its tests grade it"
        sandbox = await backend.start(image_of(small), Limits())
        for files, failing in [(task.setup, task.FAIL_TO_PASS), ({"small/numbers.py": NUMBERS}, ())]:
            await sandbox.write({path: text.encode() for path, text in files.items()})
            log = (await run_tests(sandbox, small, task.test_targets)).log
            assert set(log.failing) == set(failing)
            assert set(log.passing) >= set(task.PASS_TO_PASS)
        await sandbox.stop()


async def test_a_repository_without_enough_bugs_gives_what_it_has(small, backend):
    tasks = await make_tasks(small, TaskOptions(bugs=10_000, per_function=2, repeats=1), backend=backend)
    assert 8 <= len(tasks) <= 2 * len(with_classes(small.covers))


async def test_classes_lose_methods_too(small, backend):
    tasks = await make_tasks(small, TaskOptions(bugs=1000, per_function=2, repeats=1, suite="near"), backend=backend)
    found = {task.kind: task for task in tasks if task.functions == ("small/numbers.py::Box",)}
    assert "class_rm_funcs" in found and all(kind.startswith("class_") for kind in found)
    assert all(set(task.FAIL_TO_PASS) <= {PREFIX + "BoxTest.test_put", PREFIX + "BoxTest.test_full"} for task in tasks
               if task in found.values())  # fmt: skip


async def test_a_function_whose_bugs_are_no_tasks_is_given_up(small):
    async def asked(**options):
        """The functions of two waves, none of whose candidates was valid."""
        supply = MutantSupply(small, 1, 0, lambda key: ("any",), **options)
        return [[candidate.function for candidate in await supply.next(1)] for _ in range(2)]

    first, second = await asked(least=0.34)
    assert len(first) == 1 and second and not set(first) & set(second)
    first, second = await asked()
    assert set(first) & set(second), "where a try is cheap it is tried on"


async def test_statements_have_the_style_that_was_asked_for(small, backend):
    options = {"bugs": 2, "per_function": 2, "suite": "near", "hidden": False}
    terse = await make_tasks(small, TaskOptions(**options), backend=backend)
    issue = await make_tasks(small, TaskOptions(**options, style="issue"), backend=backend)
    assert "### Steps to reproduce" in issue[0].problem_statement
    assert "### Steps to reproduce" not in terse[0].problem_statement
    with pytest.raises(ValueError, match="no style 'poem'"):
        await make_tasks(small, TaskOptions(style="poem"), backend=backend)


async def test_generated_candidates_are_validated(backend):
    profile = await add_repository("generated:seed=1,modules=3", backend=backend)
    wave = list(islice(candidates(profile.tree), 20))
    found = await validate(profile, wave, backend=backend, repeats=1)
    assert sum(verdict.valid for verdict in found) >= 15
    tasks = await make_tasks(profile, TaskOptions(bugs=12), backend=backend)
    assert all(task.tests and task.FAIL_TO_PASS and task.PASS_TO_PASS for task in tasks)
    assert tasks[0].problem_statement == next(c for c, v in zip(wave, found, strict=True) if v.valid).problem_statement


TEST_FILE = """class T:
    def test(self):
        for n in (1, 2):
            self.assertEqual(
                double(n),
                2 * n,
            )
"""


def test_a_statement_quotes_the_test_and_what_it_said():
    failures = {
        "tests.a.T.test_far": Failure("TypeError", "no", "", 0),
        "tests.a.T.test": Failure("AssertionError", "1 != 2\n\nsecond paragraph", "tests/a.py", 5),
    }
    text = problem_statement("m.py::double", list(failures), failures, lambda path: TEST_FILE)
    assert text == (
        "`double` in m.py does not behave as its tests expect: T.test fails at "
        "`self.assertEqual( double(n), 2 * n, )` with `1 != 2`. Fix it."
    )


def test_a_statement_stays_short_and_hides_the_mutated_line():
    long = Failure("AssertionError", "secret line " + "x" * 900, "tests/a.py", 1)
    text = problem_statement("m.py::f", ["t"], {"t": long}, lambda path: "y = 1 + " + "1" * 900)
    assert len(text) < MAX_CHARS
    hidden = problem_statement("m.py::f", ["t"], {"t": long}, lambda path: "pass", hidden=("secret line",))
    assert "secret" not in hidden
    assert "does not come to an end" in problem_statement("m.py::f", ["a.T.t"], {}, lambda path: "")


def task(function, number):
    name = f"{function}-{number}"
    fields = {"problem_statement": "", "patch": "", "FAIL_TO_PASS": (), "PASS_TO_PASS": ()}
    return TaskInstance(instance_id=name, repo="r", base_commit="c", functions=(function,), **fields)


def test_splits_hold_out_functions_whole_and_mutations_beside_others():
    tasks = [task(f"f{i}", j) for i in range(20) for j in range(5)]
    split = assign_splits(tasks, mutation_share=0.2, function_share=0.1, seed=3)
    assert Counter(t.split for t in split) == {"train": 70, "heldout_mutation": 20, "heldout_function": 10}
    where = {name: {t.split for t in split if t.functions[0] == name} for name in {t.functions[0] for t in split}}
    assert sum(s == {"heldout_function"} for s in where.values()) == 2
    assert all("train" in s for s in where.values() if "heldout_mutation" in s)
    assert {t.instance_id: t.split for t in split} == {
        t.instance_id: t.split for t in assign_splits(tasks[::-1], mutation_share=0.2, function_share=0.1, seed=3)
    }
    with pytest.raises(ValueError, match="do not leave a rest"):
        assign_splits(tasks, mutation_share=0.8, function_share=0.3)


def test_a_lonely_bug_is_never_held_out_as_a_mutation():
    split = assign_splits([task(f"f{i}", 0) for i in range(9)], mutation_share=0.5, function_share=0.0)
    assert {t.split for t in split} == {"train"}


def test_a_class_with_bugs_is_one_with_its_methods():
    names = [f"m.py::K{i // 3}" + (f".m{i % 3}" if i % 3 else "") for i in range(60)]
    split = assign_splits([task(name, j) for name in names for j in range(2)], mutation_share=0.0, function_share=0.2)
    held = {t.functions[0].partition("::")[2].partition(".")[0] for t in split if t.split == "heldout_function"}
    assert len(held) == 4 and sum(t.split == "heldout_function" for t in split) == 4 * 6


def test_whole_files_are_held_out() -> None:
    tasks = [
        TaskInstance(
            instance_id=f"t{i}", repo="r", base_commit="c", problem_statement="", patch="", FAIL_TO_PASS=("a",),
            PASS_TO_PASS=("b",), files=(f"m{i // 12}.py",), functions=(f"m{i // 12}.py::f{i // 4}",),
        )
        for i in range(120)
    ]  # fmt: skip
    split = assign_splits(tasks, mutation_share=0.1, function_share=0.3, seed=0, whole_files=True)
    held = {t.files[0] for t in split if t.split == "heldout_function"}
    assert len(held) == 3 and all((t.split == "heldout_function") == (t.files[0] in held) for t in split)
    assert sum(t.split == "heldout_mutation" for t in split) == 12
