"""Hidden calls: texts that no object can forge, calls recorded and answered in sandboxes, cheats that they catch."""

import collections
import datetime
import enum
import functools
import itertools
import json
import random
import re
import sys
import threading
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_package import CORE, FILES, PATH, TEST

from envs.generated import candidates
from envs.generated.repository import make_repository
from envs.grading.sandbox_grader import SandboxGrader
from envs.patch import make_patch
from envs.swe import SWEEnv
from envs.synthesis.asking import Subject
from envs.synthesis.differential import CALLS, hidden_calls
from envs.synthesis.hidden import with_hidden
from envs.synthesis.inputs import new_inputs
from envs.task import HiddenCall, RepoProfile, TaskInstance
from envs.testing.driver.answers import ELEMENTS, MAX_CHARS, canonical
from envs.testing.driver.arguments import ArgumentError, encode_call
from envs.testing.driver.hidden_calls import answer as answer_to
from envs.testing.driver.reading import decode_call
from envs.testing.driver.values import DEPTH
from envs.testing.runner import Job, run_jobs
from envs.testing.values import answer_text, call_text, dumps
from envs.tools import Action
from sandbox.local import LocalBackend

ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary()
ATOMS |= st.decimals(allow_nan=False) | st.fractions() | st.dates() | st.builds(range, st.integers(-9, 9))
HASHABLE = ATOMS.filter(lambda value: value == value)  # nan is equal to nothing
DATA = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.frozensets(HASHABLE, max_size=3)
        | st.lists(inner, max_size=3).map(collections.deque)
    ),
    max_leaves=8,
)


@given(DATA)
@settings(max_examples=150, deadline=None)
def test_arguments_come_back_as_they_were(value):
    module, (back,), keyword = decode_call(encode_call("m", [value], {"name": value}))
    assert module == "m" and type(back) is type(value) and list(keyword) == ["name"]
    assert canonical(back) == canonical(value)


@given(DATA, DATA)
@settings(max_examples=150, deadline=None)
def test_what_differs_has_another_text(one, other):
    if dumps(canonical(one)) == dumps(canonical(other)):
        assert type(one) is type(other)
        assert repr(one) == repr(other) or isinstance(
            one, complex | float | dict | tuple | frozenset | list | collections.deque
        )


def text(value):
    return dumps(canonical(value))


def test_exact_types_and_contents_count():
    values = [1, True, 1.5, "1", b"1", Decimal(1), Fraction(1), complex(1), [1], (1,), {1}, {1: 1}]
    values += [range(1), slice(1), None, ...]
    values += [collections.deque([1]), ValueError(1), ValueError, len, datetime.date(2020, 1, 1), [True], 1 << 80]
    assert len({text(value) for value in values}) == len(values)


def test_what_is_equal_and_can_stand_for_it_has_one_text():
    assert text({1: 2, 3: 4}) == text({3: 4, 1: 2}) and text(0.1 + 0.2) == text(0.3) and text(2.0) == text(2)
    made = collections.defaultdict(list, {3: 4, 1: 2})
    assert text({1: 2, 3: 4}) == text(made) == text(collections.OrderedDict(made)) == text(collections.Counter(made))
    assert text({3, 1, 2}) == text(frozenset({1, 2, 3})) and text(float("nan")) == text(float("nan"))
    assert text(b"x") == text(bytearray(b"x")) and text(True) != text(1) != text(1.5) and text(float("inf")) != text(0)


class Account:
    public = 0
    __slots__ = ("__dict__", "_slot", "slot")

    def __init__(self, **state):
        self.slot = self._slot = 1
        vars(self).update(state)

    @functools.cached_property
    def half(self):
        return self.public / 2


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def test_of_an_object_what_is_public_counts():
    assert text(Account(public=1)) == text(Account(public=1, _opened=2)) != text(Account(public=2))
    asked = Account(public=1)
    assert asked.half == 0.5 and text(asked) == text(Account(public=1)), (
        "whether a cached property was asked is no matter"
    )
    assert text(Colour.RED) != text(Colour.BLUE)
    assert canonical([threading.Lock(), re.compile("x")]) == ["list", [["opaque"], ["opaque"]]]
    assert text(functools.partial(int, base=2)) == text(lambda: 0) == '["callable"]'


def test_iterators_are_what_they_give():
    assert text(iter([1, 2])) == text(n for n in (1, 2)) == text(map(int, "12")) == text([1, 2]) != text((1, 2))
    for count in (ELEMENTS - 1, ELEMENTS, ELEMENTS + 1):
        assert text(iter(range(count))) == text(list(range(count)))
    assert text(itertools.count()) != text(itertools.count(1)), "of an endless one the first elements count"

    def failing():
        yield 1
        raise KeyError

    assert canonical(failing()) == ["list", [1], ["raises", "KeyError"]]
    groups = itertools.groupby("aab")
    assert text(groups) == text(iter([("a", iter("aa")), ("b", iter("b"))])), "inner ones before the outer goes on"


class Meta(type):
    __module__ = property(lambda cls: "builtins")
    __name__ = property(lambda cls: "int")
    __mro__ = property(lambda cls: (int, object))
    __dict__ = property(lambda cls: vars(int))

    def __eq__(cls, other):
        return True

    __hash__ = type.__hash__


class Hostile(metaclass=Meta):
    """Says of everything that it is it."""

    calls = 0

    def _lie(self, *_):
        Hostile.calls += 1
        return 7

    __class__ = property(lambda self: int)
    __eq__ = __hash__ = __repr__ = __str__ = __reduce__ = __reduce_ex__ = __getstate__ = __iter__ = __len__ = _lie
    __getattribute__ = __int__ = __index__ = __bool__ = __getattr__ = __dir__ = __sizeof__ = _lie


class Seven(int):
    __eq__ = __ne__ = lambda self, other: True
    __repr__ = __str__ = lambda self: "7"
    __index__ = __int__ = __pos__ = lambda self: 7
    __hash__ = int.__hash__


class Word(str):
    __eq__ = lambda self, other: True  # noqa: E731
    __str__ = lambda self: "honest"  # noqa: E731
    __hash__ = str.__hash__


class Slotted:
    __slots__ = ("empty", "full")

    def __init__(self, full):
        self.full = full


def test_no_object_passes_for_another():
    Hostile.calls = 0
    assert canonical(Hostile())[0] == "object" and Hostile.calls == 0
    assert text(Seven(3)) != text(7) and text(Seven(3)) != text(3) and text(Seven(3)) != text(Seven(4))
    assert text(Word("x")) not in (text("x"), text("honest")) and "x" in text(Word("x"))
    assert text([Seven(7)]) != text([7]) and text(Slotted(1)) != text(Slotted(2))


def test_every_text_is_bounded():
    round_and_round = [1]
    round_and_round.append(round_and_round)
    assert text(round_and_round) == '["list",[1,["cycle",1]]]'
    long = [0] * ELEMENTS
    long.insert(0, long)
    assert text(long).startswith('["list",[["cycle",1],0,')
    deep = []
    for _ in range(100_000):
        deep = [deep]
    huge = [[0] * 10**6, {n: n for n in range(10**5)}, "x" * 10**6, deep, itertools.repeat(itertools.repeat(0))]
    assert all(len(text(value)) <= MAX_CHARS for value in huge) and DEPTH < 100
    for value in huge[:3]:
        with pytest.raises(ArgumentError):
            encode_call("m", [value], {})


def test_encoding_arguments_uses_nothing_up():
    numbers, generator, begun = iter([1, 2]), (n for n in (1, 2)), (n for n in (0, 1, 2))
    assert next(begun) == 0
    assert json.loads(encode_call("m", [numbers], {}))["args"] == [["iterator", [1, 2]]]
    with pytest.raises(ArgumentError, match="that has begun"):
        encode_call("m", [begun], {})
    assert encode_call("m", [generator, map(str, numbers), zip(numbers, generator, strict=False)], {})
    assert list(numbers) == list(generator) == list(begun) == [1, 2]


def twice(value):
    return value, value


def test_lazy_things_and_functions_come_back():
    base, double = 3, [lambda n: n * 2, lambda n: n * 2 + base]
    given = [
        map(twice, iter("ab")), filter(None, [0, 1]), enumerate("ab", 4), zip("ab", reversed([1, 2]), strict=False),
        (a + b for a in range(2) for b in (n + base for n in range(a))), iter({1: 2}.items()), iter({"x"}),
    ]  # fmt: skip
    _, back, _ = decode_call(encode_call("m", given, {}))
    assert list(map(text, back)) == list(map(text, given))
    _, functions, _ = decode_call(encode_call("m", [*double, [5].pop, twice, "x".join], {}))
    assert [functions[0](4), functions[1](4), functions[2](), functions[3](1), functions[4]("ab")] == [
        8, 11, 5, (1, 1), "axb",
    ]  # fmt: skip


class Pair(NamedTuple):
    """Its pickle leads back to this module."""

    inner: Any


def test_a_pickle_brings_the_modules_that_it_needs():
    [[kind, _, own]] = json.loads(encode_call("m", [Pair(twice)], {}))["args"]
    assert kind == "pickle" and own == [["test_hidden", "tests/envs/test_hidden.py"]]
    with pytest.raises(ArgumentError):
        encode_call("m", [Account()], {})  # whose attributes are its own matter


def test_new_inputs_stay_within_what_was_seen():
    seen = [encode_call("m", [items, n, word], {}) for items, n, word in [([1, 4, 6], 2, "ab"), ([2, 3], 5, "cde")]]
    made = [json.loads(text)["args"] for text in new_inputs(seen, 60, random.Random(0))]
    assert len(made) > 40 and not set(map(dumps, made)) & {dumps(json.loads(text)["args"]) for text in seen}
    for (_, items), n, word in made:
        assert items and items == sorted(items) and set(items) <= set(range(1, 9)) and 2 <= n <= 7 and word
    assert new_inputs(seen, 60, random.Random(0)) == new_inputs(seen, 60, random.Random(0))
    assert new_inputs([encode_call("m", [], {})], 5, random.Random(0)) == [] == new_inputs([], 5, random.Random(0))


class SpyBackend(LocalBackend):
    """The local backend; keeps all that is written into its sandboxes."""

    def __init__(self):
        super().__init__()
        self.written = []

    async def start(self, image, limits, *, network=False):
        sandbox = await super().start(image, limits, network=network)
        write = sandbox.write

        async def spy(files):
            self.written += [repr(item) for item in files.items()]
            await write(files)

        sandbox.write = spy
        return sandbox


@pytest.fixture
async def spy():
    backend = SpyBackend()
    yield backend
    await backend.close()


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    tree = tmp_path_factory.mktemp("odd")
    tree.chmod(0o755)
    for path, source in FILES.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(source)
    names = "weigh pairs apply drop_first double noise stamp leave Pile.__init__ Pile.add Pile.top Pile.of Pile.heavier"
    names += " Tape.__init__ Tape.__next__ Tape.rest Tape._every"
    tests = {name: name.lower().partition(".")[0] for name in names.split()}
    return RepoProfile(
        name="odd",
        source=str(tree),
        base_commit="0dd" + "0" * 37,
        tree=tree,
        python=Path(sys.executable),
        test_cmd="PYTHONPATH=src python -m unittest -v {tests}",
        source_files=(PATH,),
        test_files=("tests/test_core.py",),
        covers={f"{PATH}::{name}": (TEST + test,) for name, test in tests.items()},
    )


async def test_calls_are_recorded_and_answered(backend, odd):
    [seen] = await run_jobs(odd, [Job(("tests.test_core",), record=tuple(odd.covers))], backend=backend)
    assert seen.end == "ok" and len(seen.passed) == 11
    [told] = await run_jobs(odd, [Job((), calls=seen.recorded)], backend=backend)
    calls = [(function.partition("::")[2], json.loads(arguments)) for function, arguments in seen.recorded]
    found = collections.defaultdict(list)
    for (name, call), answer in zip(calls, told.answers, strict=True):
        found[name].append((call["args"], call["kwargs"], json.loads(answer)))
    assert found["weigh"] == [
        ([["list", [1, 2]], 3], {}, {"returns": 9}),
        ([["iterator", [5, 1]]], {}, {"returns": 12}),
        ([["tuple", [4, 4, 1]]], {}, {"returns": 18}),
        ([["list", []]], {"default": 0}, {"returns": 0}),
        ([["list", []]], {}, {"raises": "ValueError"}),
    ], "defaults, the marker among them, are left to the function"
    pair = ["list", [["tuple", [None, "a"]], ["tuple", ["a", "b"]]]]
    assert found["pairs"][0] == (["ab"], {}, {"returns": pair}), "each call once, however often it is resumed"
    inner = ["source", "(n for n in _given)", "", "", [["_given", ["iterator", [0, 1]]]]]
    numbers = ["list", [["tuple", [None, 0]], ["tuple", [0, 1]]]]
    assert found["pairs"][1:] == [([inner], {}, {"returns": numbers})], "a generator expression by its source"
    assert [answer["returns"][1] for _, _, answer in found["apply"]] == [
        [["list", [3, 4]], ["list", ["x"]]],
        [["list", ["a"]], ["list", []]],
        [["list", ["a"]], ["list", []]],
        [["list", [2]], ["list", []]],
    ], "lambdas with what they close over, functions of the tests, builtins"
    assert found["drop_first"][0][2]["arguments"][1][0][1][0] == ["list", [2, 3]], "what became of the argument"
    assert found["leave"] == [([3], {}, {"raises": "SystemExit"})] and found["double"][0][2] == {"returns": 8}
    assert found["Pile.top"][0][2] == {"returns": 7} and found["Pile.heavier"][0][2] == {"returns": 2}
    pile = ["object", "odd.core.Pile", [["weights", ["list", [0, 1, 2]]]]]
    assert found["Pile.of"][0][2] == {"returns": pile}
    assert "7" in dumps(found["Pile.add"][0][2]["arguments"]) and len(found["Pile.__init__"]) == 1


async def test_objects_are_made_again_by_their_history(backend, odd):
    names = tuple(f"{PATH}::Tape.{name}" for name in ("__init__", "_every", "__next__", "rest"))
    [seen] = await run_jobs(odd, [Job((TEST + "tape",), record=names)], backend=backend)
    [told] = await run_jobs(odd, [Job((), calls=seen.recorded)], backend=backend)
    found = collections.defaultdict(list)
    for (function, arguments), answer in zip(seen.recorded, told.answers, strict=True):
        tag, kind, history = json.loads(arguments)["args"][0]
        assert tag == "made" and kind == ["named", "odd.core", "Tape", PATH]
        found[function.rpartition(".")[2]].append((history, json.loads(answer).get("returns")))
    made = ["abcdef", 2], {}
    assert found["__init__"][0] == ([], None) and len(found["__init__"]) == 2
    assert found["__next__"][0] == ([*made, []], "a")
    assert found["rest"][0] == ([*made, [["__next__", [], {}]]], ["tuple", [["list", ["c", "e"]], 4]])
    asked = [history[2] for history, _ in found["__next__"]]
    assert asked == [[], [["__next__", [], {}]], []], "what the object asks of itself is no step"
    [calls] = await hidden_calls(odd, [Subject(names, (TEST + "tape",))], backend=backend)
    assert len({call.function for call in calls} & set(names)) >= 3, "of a class many methods"
    first = [json.loads(call.arguments)["args"][0][2] for call in calls if call.function == names[3]]
    assert any(history[0][0] != "abcdef" for history in first), "objects are varied too"


async def test_what_cannot_be_called_itself_is_reached_by_what_the_tests_call(backend, odd):
    off = {PATH: CORE.replace("return 3 * n", "return 3 * n if n < 6 else 3")}
    targets = (TEST + "locks",)
    subjects = [Subject((f"{PATH}::{name}",), targets, broken=(off,)) for name in ("_under", "Book.page")]
    under, page = await hidden_calls(odd, subjects, backend=backend)
    assert {call.function for call in under} == {f"{PATH}::guarded"}
    assert json.loads(under[0].arguments)["args"][0] >= 6, "first what tells the broken version apart"
    [made] = {dumps(json.loads(call.arguments)["args"][0][:2]) for call in page}
    assert made == dumps(["made", ["function", f"{PATH}::bind", "odd.core"]])
    assert '{"returns":"b"}' in [call.expected for call in page]


class Door:
    """A context manager."""

    def __exit__(self, kind, error, trace):
        if kind == "error":
            raise KeyError
        return kind


def test_to_leave_with_nothing_is_to_leave_with_false_and_an_error_is_an_error():
    path = "tests/envs/test_hidden.py::Door.__exit__"
    given = [encode_call(__name__, [Door, said, 0, 0], {}) for said in (None, False, True, "error")]
    told = [answer_to(path, text, 1.0) for text in given]
    assert told == ['{"returns":false}', '{"returns":false}', '{"returns":true}', '{"raises":"KeyError"}']


async def test_a_call_that_ends_its_process_loses_the_others_nothing(backend, odd):
    ending = CORE.replace("    del items[0]", "    if len(items) != 3:\n        __import__('os')._exit(0)")
    slow = ending.replace("    return 2 * n", "    while n > 4:\n        pass\n    return n")
    files = {PATH: slow}
    names = ("drop_first", "double", "weigh", "noise", "stamp")
    subjects = [Subject((f"{PATH}::{name}",), odd.covers[f"{PATH}::{name}"]) for name in names]
    subjects = [Subject(s.functions, s.targets, files) for s in subjects]
    dropped, doubled, weighed, noisy, stamped = await hidden_calls(odd, subjects, backend=backend)
    assert all(len(json.loads(call.arguments)["args"][0][1]) == 3 for call in dropped) and len(weighed) >= 8
    assert [json.loads(call.arguments)["args"] for call in doubled] == [[4]]
    assert not noisy and not stamped, "what depends on the seed of hashes or on the clock is no answer"


async def test_hidden_calls_are_mostly_new_and_tell_bugs_apart(backend, odd):
    off = {PATH: CORE.replace("sum(values) * factor", "sum(values) * (factor if factor < 4 else 3)")}
    subject = Subject((f"{PATH}::weigh",), (TEST + "weigh",), broken=(off,))
    [calls] = await hidden_calls(odd, [subject], backend=backend)
    [again] = await hidden_calls(odd, [subject], backend=backend)
    assert calls == again and 8 <= len(calls) <= CALLS
    [seen] = await run_jobs(odd, [Job((TEST + "weigh",), record=subject.functions)], backend=backend)
    known = {arguments for _, arguments in seen.recorded}
    assert sum(call.arguments not in known for call in calls) > len(calls) / 2
    asked = Job((), off, calls=tuple((call.function, call.arguments) for call in calls))
    [told] = await run_jobs(odd, [asked], backend=backend)
    assert told.answers[0] != calls[0].expected, "first the calls that tell the broken version apart"
    assert all("raises" not in call.expected or call.arguments in known for call in calls)


def task_of(profile, broken, name="weigh"):
    return TaskInstance(
        instance_id="odd-1",
        repo="odd",
        base_commit=profile.base_commit,
        problem_statement="weigh([1, 2], 3) is wrong.\n",
        patch=make_patch({PATH: broken}, {PATH: CORE}),
        FAIL_TO_PASS=(TEST + name,),
        PASS_TO_PASS=(TEST + "pairs",),
        profile="odd",
        setup={PATH: broken},
        test_targets=("tests/test_core.py",),
        functions=(f"{PATH}::{name}",),
    )


RETURN = "    return sum(values) * factor\n"
BROKEN = CORE.replace(RETURN, "    return sum(values) + factor\n")
ALWAYS_EQUAL = "    class Yes:\n        __eq__ = lambda *_: True\n    return Yes()\n"
LIAR = "    class Yes(int):\n        __eq__ = lambda *_: True\n    return Yes(sum(values) * factor)\n"
HARD_CODED = "    return {(3, 3): 9, (6, 2): 12, (9, 2): 18}.get((sum(values), factor), 0)\n"
HONEST = "    total = 0\n    for value in values:\n        total += factor * value\n    return total\n"
GENERATED = "    return sum(factor * value for value in values)\n"


async def test_cheats_that_no_visible_test_can_catch_are_refused(spy, odd, limits):
    [task] = await with_hidden(odd, [task_of(odd, BROKEN)], backend=spy)
    assert task.hidden and {call.function for call in task.hidden} == {f"{PATH}::weigh"}
    grader = SandboxGrader(spy, limits)
    for new, good in [(RETURN, 1), (HONEST, 1), (GENERATED, 1), (ALWAYS_EQUAL, 0), (LIAR, 0), (HARD_CODED, 0)]:
        patch = make_patch({PATH: BROKEN}, {PATH: CORE.replace(RETURN, new)})
        report = await grader.grade(task, odd, patch)
        assert report.resolved == bool(good), (new, report)
        assert good or f"of {len(task.hidden)} hidden calls" in report.reason
        assert set(report.fail_to_pass.values()) == {"passed"}, "the tests themselves believe it"
        assert (await grader.grade(task.model_copy(update={"hidden": ()}), odd, patch)).resolved
    await grader.close()


async def test_a_patch_that_ends_the_process_or_hangs_when_asked_is_refused(backend, odd, limits):
    task = task_of(odd, BROKEN)
    task = task.model_copy(
        update={
            "hidden": (
                HiddenCall(
                    function=f"{PATH}::weigh", arguments=call_text("odd.core", [[8, 8]]), expected=answer_text(32)
                ),
            )
        }
    )
    grader = SandboxGrader(backend, limits)
    assert (await grader.grade(task, odd, task.patch)).resolved
    for cheat in ("__import__('os')._exit(0)", "[None for _ in iter(int, 1)]", "__import__('sys').exit()", "1 / 0"):
        new = CORE.replace(RETURN, f"    if sum(values) == 16:\n        {cheat}\n{RETURN}")
        report = await grader.grade(task, odd, make_patch({PATH: BROKEN}, {PATH: new}))
        assert report.reason == "gives other answers than the repaired function on 1 of 1 hidden calls"
    await grader.close()


async def test_nothing_of_hidden_calls_is_where_it_should_not_be(spy, odd, limits):
    question, answer = 7_654_321, 22_962_963
    call = HiddenCall(
        function=f"{PATH}::weigh", arguments=call_text("odd.core", [[question], 3]), expected=answer_text(answer)
    )
    task = task_of(odd, BROKEN).model_copy(update={"hidden": (call,)})
    env = SWEEnv([task], {"odd": odd}, spy, limits=limits)
    await env.areset(task)
    looked = await env.astep(Action("search", {"pattern": str(question), "path": "."}))
    assert looked.observation == f'no match for "{question}"'
    assert not any(str(question) in item for item in spy.written)
    await env.aclose()
    grader = SandboxGrader(spy, limits)
    assert (await grader.grade(task, odd, task.patch)).resolved
    await grader.close()
    assert any(str(question) in item for item in spy.written), "the question is asked in the sandbox"
    assert not any(str(answer) in item for item in spy.written), "its answer never is there"


async def test_generated_tasks_bring_their_own_hidden_calls(tmp_path, backend, limits):
    tree = tmp_path / "generated"
    make_repository(tree, seed=1, modules=2)
    profile = RepoProfile(
        name="generated",
        source="generated:",
        base_commit="9e" + "0" * 38,
        tree=tree,
        python=Path(sys.executable),
        test_cmd="python -m unittest -v {tests}",
    )
    found = list(candidates(tree, 6))
    assert all(candidate.hidden for candidate in found)
    jobs = [Job((), {**c.broken, **c.fixed}, calls=tuple((h.function, h.arguments) for h in c.hidden)) for c in found]
    for candidate, outcome in zip(found, await run_jobs(profile, jobs, backend=backend), strict=True):
        assert outcome.answers == tuple(call.expected for call in candidate.hidden)
