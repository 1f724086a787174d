"""Bugs by a language model: a server that answers like an endpoint, well and badly; commits; combinations."""

import random
import subprocess

import pytest
from chat_server import chat_server
from small_package import NUMBERS, PREFIX

from envs.synthesis.changes import changed_lines, merged
from envs.synthesis.llm import (
    ChatModel,
    MirrorError,
    ModelConfig,
    ModelError,
    combine,
    describe,
    mirror,
    modify,
    rewrite,
)
from envs.synthesis.llm.answers import dedented, function_in, put_function
from envs.synthesis.llm.bugs import stub_of
from envs.synthesis.mutants import Mutant
from envs.synthesis.mutations import mutate_function
from envs.testing.runner import Failure

WORSE = "def clamp(value, low, high):\n    if value < low:\n        return high\n    return value"


def model_at(url, **options):
    return ChatModel(ModelConfig(base_url=url, model="m", **options), first_wait_s=0.01)


def fenced(code):
    return f"Here it is:\n\n```python\n{code}\n```\nGood luck!"


async def test_a_model_modifies_one_function(monkeypatch):
    monkeypatch.setenv("OUR_KEY", "k1")
    with chat_server([fenced(WORSE)]) as (url, requests):
        model = model_at(url, key_variable="OUR_KEY", temperature=0.5, max_tokens=77, input_price=2, output_price=4)
        bug = await modify(model, "small/numbers.py", NUMBERS, "clamp", (PREFIX + "ClampTest",))
    assert bug.kind == "lm_modify" and bug.function == "small/numbers.py::clamp"
    text = bug.broken["small/numbers.py"]
    assert WORSE in text and text.partition(WORSE)[2] == NUMBERS.partition("    return value\n")[2].join(["\n", ""])
    assert bug.fixed == {"small/numbers.py": NUMBERS}
    assert "if value > high:" in bug.changed and "return low  # the floor" in bug.changed
    (request,) = requests
    assert request["path"] == "/v1/chat/completions" and request["key"] == "Bearer k1"
    assert (request["model"], request["temperature"], request["max_tokens"]) == ("m", 0.5, 77)
    assert (model.usage.calls, model.usage.input_tokens, model.usage.output_tokens) == (1, 1000, 500)
    assert model.usage.cost == pytest.approx(0.004)


async def test_a_rewrite_sees_no_body():
    method = "def put(self, item):\n    self.items.append(item)\n    return 0"
    with chat_server([method]) as (url, requests):
        bug = await rewrite(model_at(url), "small/numbers.py", NUMBERS, "Box.put", ())
    assert "OverflowError" not in str(requests) and "def put(self, item):" in str(requests)
    assert (
        "    def put(self, item):\n        self.items.append(item)\n        return 0\n"
        in bug.broken["small/numbers.py"]
    )


@pytest.mark.parametrize(
    "answer",
    [
        "I will not.",
        "",
        fenced("def clamp(value, low, high:"),
        fenced("def other():\n    return 1"),
        fenced(NUMBERS.partition("def mean")[0]),  # as it was
    ],
)
async def test_an_answer_without_a_bug_is_no_candidate(answer):
    with chat_server([answer]) as (url, _):
        assert await modify(model_at(url), "n.py", NUMBERS, "clamp", ()) is None


async def test_busy_endpoints_are_asked_again():
    busy = [(429, b"slow down", {"Retry-After": "0"}), (503, b"", {}), fenced(WORSE)]
    with chat_server(busy) as (url, _):
        model = model_at(url)
        assert await modify(model, "n.py", NUMBERS, "clamp", ()) is not None
    assert (model.usage.calls, model.usage.failures) == (3, 2)
    said = r"the model m at .* answers with status 500 \(3 attempts\)"
    with chat_server([(500, b"", {})] * 3) as (url, _), pytest.raises(ModelError, match=said):
        await model_at(url, retries=2).ask("", "")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, b'{"error": "wrong key"}', {}), "status 401: .*wrong key"),
        ((200, b"<html>", {}), "not JSON: is base_url right"),
        ((200, b'{"choices": []}', {}), r"without choices\[0\]"),
        ((200, b'{"choices": [{"message": {"content": null}}]}', {}), "without a text"),
        ((200, b"[1]", {}), r"without choices\[0\]"),
    ],
)
async def test_a_wrong_answer_is_one_sentence(answer, said):
    with chat_server([answer]) as (url, requests), pytest.raises(ModelError, match=said) as caught:
        await model_at(url).ask("", "")
    assert len(requests) == 1 and "\n" not in str(caught.value)


async def test_an_endpoint_that_is_not_there():
    with pytest.raises(ModelError, match=r"cannot be reached.*\(2 attempts\)"):
        await model_at("http://127.0.0.1:9/v1", retries=1).ask("", "")
    with pytest.raises(ModelError, match="must start with http"):
        await model_at("file:///etc", retries=0).ask("", "")


def test_code_is_found_in_answers_of_many_shapes():
    for shape in (
        fenced(WORSE),
        WORSE,
        f"```\n{WORSE}",
        f"1. so\n\n   ```py\n   {WORSE.replace(chr(10), chr(10) + '   ')}\n   ```",
    ):
        assert function_in(shape, "clamp").strip() == WORSE
    both = fenced("def clamp(value, low, high): ...") + fenced(WORSE)
    assert function_in(both, "clamp").strip() == WORSE
    inside = fenced("class Box:\n    def put(self, item):\n        return 1")
    assert function_in(inside, "put") == "def put(self, item):\n    return 1\n"


def test_strings_and_ends_of_lines_stay_when_a_function_is_put_in_place():
    source = """class A:
    def f(self):
        '''Doc.
        more'''
        return '''a
b'''

    x = 1
""".replace("\n", "\r\n")
    text = dedented("".join(source.splitlines(keepends=True)[1:6]))
    assert text.startswith("def f(self):\r\n    '''Doc.\r\n    more'''\r\n    return '''a\r\nb'''")
    assert put_function(source, "A.f", text) == source
    with pytest.raises(ValueError, match=r"there is no function A\.g"):
        put_function(source, "A.g", text)


def test_a_stub_keeps_signature_and_documentation():
    assert stub_of("def f(a: int, *, b=2) -> str:\n    '''Doc.'''\n    return a") == (
        'def f(a: int, *, b=2) -> str:\n    """Doc."""\n    ...'
    )


def bug(function, number=0, path="small/numbers.py", source=NUMBERS):
    found = mutate_function(source, function, random.Random(0), 5)[number]
    return Mutant(
        f"{function}{number}{path}", found.kind, f"{path}::{function}", {path: found.new_source}, {path: source},
        (PREFIX + function,), found.changed,
    )  # fmt: skip


def test_bugs_of_one_file_are_combined():
    bugs = [bug("clamp"), bug("clamp", 1), bug("mean"), bug("countdown")]
    made = list(combine(bugs, random.Random(0)))
    assert 1 <= len(made) <= 2
    for found in made:
        assert found.kind == "combine_file" and len(found.targets) == 2
        (text,) = found.broken.values()
        for part in bugs:
            if part.function.partition("::")[2] in str(found.targets) and set(part.changed) <= set(found.changed):
                assert set(changed_lines(NUMBERS, part.broken["small/numbers.py"])) <= set(changed_lines(NUMBERS, text))
    assert [f.instance_id for f in made] == [f.instance_id for f in combine(bugs, random.Random(0))]
    assert list(combine([bug("clamp"), bug("clamp", 1)], random.Random(0))) == []
    with pytest.raises(ValueError, match="at least 2 bugs, not 1"):
        list(combine(bugs, random.Random(0), size=1))


def test_bugs_of_one_folder_are_combined():
    (found,) = combine([bug("clamp"), bug("mean", path="small/other.py")], random.Random(0), across=True)
    assert found.kind == "combine_module" and set(found.broken) == {"small/numbers.py", "small/other.py"}


def test_edits_that_touch_are_not_merged():
    base = "a\nb\nc\nd\ne\n"
    assert merged(base, ["A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\nF\n"]) == "A\nb\nc\nd\nE\nF\n"
    assert merged(base, ["A\nb\nc\nd\ne\n", "a\nB\nc\nd\ne\n"]) is None


@pytest.fixture
def checkout(tmp_path):
    """Three commits: the package, a fix with a test, something later next to the fix."""

    def commit(text, test):
        (tmp_path / "small").mkdir(exist_ok=True)
        (tmp_path / "tests").mkdir(exist_ok=True)
        (tmp_path / "small/numbers.py").write_text(text)
        (tmp_path / "tests/test_numbers.py").write_text(test)
        for words in (["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "x"]):
            subprocess.run(["git", *words], cwd=tmp_path, check=True)

    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    commit(NUMBERS.replace("value > high", "value >= high"), "1\n")
    commit(NUMBERS, "2\n")
    return tmp_path, commit


async def test_a_commit_is_mirrored_without_a_model(checkout):
    place, _ = checkout
    found = await mirror(place, "HEAD", ("tests",))
    assert found.broken == {"small/numbers.py": NUMBERS.replace("value > high", "value >= high")}
    assert found.fixed == {"small/numbers.py": NUMBERS} and found.function == "small/numbers.py::clamp"
    assert set(found.changed) == {"if value > high:", "if value >= high:"} and found.targets == ("tests",)
    assert (place / "small/numbers.py").read_text() == NUMBERS, "the checkout is not touched"


async def test_what_does_not_apply_is_adapted_by_the_model(checkout):
    place, commit = checkout
    later = NUMBERS.replace("if value > high:", "if value > high:  # later")
    commit(later, "2\n")
    with pytest.raises(MirrorError, match=r"does not apply to small/numbers.py: configure a language model"):
        await mirror(place, "HEAD~1")
    undone = later.replace("value > high", "value >= high")
    with chat_server([fenced(undone), "no"]) as (url, requests):
        found = await mirror(place, "HEAD~1", model=model_at(url))
        assert found.broken == {"small/numbers.py": undone}
        assert "-    if value >= high:" in requests[0]["messages"][1]["content"]
        with pytest.raises(MirrorError, match="holds no whole file"):
            await mirror(place, "HEAD~1", model=model_at(url))


async def test_commits_that_cannot_be_mirrored(checkout):
    place, commit = checkout
    commit(NUMBERS, "3\n")
    with pytest.raises(MirrorError, match="changes no Python file that is here now, but for tests"):
        await mirror(place, "HEAD")
    with pytest.raises(MirrorError, match="git in"):
        await mirror(place, "--output=x")


FAILURES = {"tests.a.T.test": Failure("AssertionError", "0 != 9", "tests/a.py", 1)}


async def test_a_model_describes_what_failed_and_may_not_tell_the_bug():
    hidden = ("if value < low:", "if value <= low:")
    with chat_server(["# Clamping fails\n\nI got 0.", "Change `if value  <  low:` back.", "", "x" * 5000]) as (
        url,
        requests,
    ):
        model = model_at(url)

        async def told():
            what = ("small/numbers.py::clamp", NUMBERS, list(FAILURES), FAILURES)
            return await describe(model, *what, lambda path: "check(clamp(50, 0, 9), 9)", hidden)

        assert await told() == "# Clamping fails\n\nI got 0.\n"
        for _ in range(3):
            assert "### Steps to reproduce" in await told()
    seen = requests[0]["messages"][1]["content"]
    assert "check(clamp(50, 0, 9), 9)" in seen and "0 != 9" in seen and "Keep a value between two bounds" in seen
    assert "value < low" not in seen and "return" not in seen
