"""The parts that pages are made of: what was said, aligned rollouts, contrasts, tokens, curves, questions."""

import pytest
from trajectory_builders import pair, trajectory, turn

from trajectories.queries import Lesson
from trajectories.records import ToolCall
from trajectories.viewer.aligning import advantages, aligned
from trajectories.viewer.asking import Asked, address
from trajectories.viewer.calls import edit_diff
from trajectories.viewer.configurations import lines
from trajectories.viewer.contrasting import contrast
from trajectories.viewer.curves import figures
from trajectories.viewer.snippets import snippet
from trajectories.viewer.steps import steps_of
from trajectories.viewer.tokens import STEPS, coloured, scale, stylesheet, tokens_of

CALL = ToolCall(name="bash", arguments={"command": "ls"})


def test_an_edit_is_told_as_a_diff():
    diff, told = edit_diff(ToolCall(name="edit", arguments={"path": "a.py", "old_str": "a\nb", "new_str": "a\nc"}))
    assert diff == " a\n-b\n+c" and told == {"old_str", "new_str"}
    assert edit_diff(CALL) == ("", frozenset())


def test_rollouts_are_aligned_and_the_first_that_differs_is_marked():
    one = trajectory("i1", turns=[turn("view", path="a"), turn("view", path="b"), turn("submit")])
    two = trajectory("i2", turns=[turn("view", path="a"), turn("view", path="c")])
    three = trajectory("i3", turns=[turn("view", path="a"), turn("view", path="b"), turn("submit")])
    rows = aligned([one, two, three])
    assert [(row.same, row.first) for row in rows] == [(True, False), (False, True), (False, False)]
    assert [cell.kind if cell else None for cell in rows[1].cells] == [1, 2, 1]
    assert rows[2].cells[1] is None
    assert rows[0].cells[0].logprob == pytest.approx(sum(one.turns[0].logprobs))
    assert [row.first for row in aligned([one, three])] == [False] * 3
    ended = aligned([one.model_copy(update={"turns": one.turns[:2]}), one])
    assert [row.first for row in ended] == [False, False, True]


def test_advantages_without_a_learner_are_rewards_less_their_mean():
    assert advantages([1.0, 0.0, None, 0.5]) == [0.5, -0.5, None, 0.0]
    assert advantages([None]) == [None]


def test_a_contrast_has_all_and_marks_what_only_one_has():
    a, b = trajectory("i1"), trajectory("i2", shown=("-", 7), right=("+", 7))
    z = pair(a, b)
    found = contrast(z)
    for side, context in (("anchor", z.anchor), ("confounder", z.confounder)):
        turns = [s for _, rows in found.parts for row in rows if (s := getattr(row, side))]
        assert [s.number for s in turns] == list(range(1, len(context.turns) + 1))
        assert ["\n".join(some.text for some in s.observation) for s in turns] == [
            turn.observation.removesuffix("\n") for turn in context.turns
        ]
    assert [same for same, _ in found.parts] == [False, True]  # the submission is the same
    view = found.parts[0][1][2]
    assert [(some.own, some.text.strip()) for some in view.anchor.observation] == [
        (False, "1\tdef area(a, b):"),
        (True, "2\t    return a + b * 7"),
    ]
    assert view.anchor.decisive and view.confounder.decisive
    assert not found.parts[1][1][0].same or found.parts[1][0]


def test_steps_take_their_diffs_from_the_episode_or_else_from_a_replay():
    diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
    bare = trajectory(turns=[turn("bash"), turn("bash"), turn("bash")])
    steps, whence = steps_of(bare)
    assert whence == "" and all(step.after is None for step in steps)
    replay = {"steps": [{"number": 1, "diff": ""}, {"number": 2, "diff": diff}]}
    steps, whence = steps_of(bare, replay)
    assert whence == "replay" and [step.changed_something for step in steps] == [False, True, False]
    assert steps[1].changed.splitlines()[-1] == "+b" and steps[2].after is None
    kept = bare.model_copy(update={"turns": [t.model_copy(update={"diff": diff}) for t in bare.turns]})
    steps, whence = steps_of(kept, replay)
    assert whence == "episode" and [step.changed_something for step in steps] == [True, False, False]


def test_tokens_say_their_values_and_what_is_missing():
    t = trajectory(turns=[turn("view", path="a much longer one"), turn("view", path="b")])
    first, second = (turn.logprobs for turn in t.turns)
    lesson = Lesson(t.id, -0.5, [p + 0.125 for p in first] + [p + 0.25 for p in second])
    assert [k.value for k in tokens_of(t, 2, "logprob", None, None).shown] == second
    found = tokens_of(t, 2, "mismatch", lesson, None)
    assert [k.value for k in found.shown] == pytest.approx([0.25] * len(second)) and not found.texts and not found.why
    assert {k.value for k in tokens_of(t, 1, "advantage", lesson, None).shown} == {-0.5}
    for by in ("mismatch", "advantage"):
        missing = tokens_of(t, 1, by, None, None)
        assert "nobody learned from it yet" in missing.why and {k.css for k in missing.shown} == {""}
    other = tokens_of(t, 1, "mismatch", Lesson(t.id, 1.0, first[:2]), None)
    assert other.why and other.shown[0].value is None
    with pytest.raises(ValueError, match="There is no turn 3"):
        tokens_of(t, 3, "logprob", None, None)


def test_colours_go_in_steps_from_end_to_end():
    for by in ("logprob", "advantage", "mismatch"):
        steps = scale(by)
        assert len({css for css, _ in steps}) == len(steps) == STEPS
    paint = coloured("mismatch")
    assert (paint(-9), paint(9), paint(float("-inf")), paint(float("nan"))) == ("v0", "v20", "v0", "")
    assert coloured("logprob")(0.0) == "s0" and coloured("logprob")(-99) == "s20"
    assert f".{paint(0.0)}{{background:color-mix(in srgb,var(--bad) 0%,transparent)}}" in stylesheet()


def test_curves_are_of_what_was_measured():
    rows = [{"iteration": i, "kl": 0.1 * i, "entropy": float("nan"), "selection_accuracy": 0.5} for i in range(3)]
    rows[1].pop("kl")
    found = {figure.title: figure.drawing for figure in figures({"one": rows})}
    assert list(found) == ["Selection accuracy", "KL", "Entropy"]
    assert found["Entropy"].startswith('<p class="soft">3 values are left out') and "left out" not in found["KL"]
    assert found["KL"].count("<circle") == 2 and "style=" not in found["KL"]
    both = {figure.title: figure.drawing for figure in figures({"one": rows, "<two>": rows})}
    assert both["KL"].count("<polyline") == 2 and "&lt;two&gt;" in both["KL"] and "<two>" not in both["KL"]


def test_configurations_are_compared_key_by_key():
    found = lines([{"a": {"b": 1, "c": [1]}, "d": {}}, {"a": {"b": 2, "c": [1]}}, None])
    assert [(line.key, line.values, line.differs) for line in found] == [
        ("a.b", ("1", "2", None), True),
        ("a.c", ("[1]", "[1]", None), False),
        ("d", ("{}", None, None), True),
    ]
    assert not lines([{"a": 1}, {"a": 1}])[0].differs


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("case i1", ("issue", 0, "case i1")),
        ("B TIMES", ("observation", 2, "b times")),
        ("times issueless", ("observation", 2, "times")),
        ("nothing", ("", 0, "")),
    ],
)
def test_a_snippet_shows_where_the_words_stand(text, found):
    shown = snippet(trajectory(), text)
    assert (shown.place, shown.turn, shown.word) == found


@pytest.mark.parametrize(
    ("query", "ask"),
    [
        ("page=x", lambda a: a.whole("page", 1)),
        ("page=0", lambda a: a.whole("page", 1)),
        ("page=" + "9" * 30, lambda a: a.whole("page", 1)),
        ("page=٣", lambda a: a.whole("page", 1)),
        ("min=1e999", lambda a: a.number("min")),
        ("min=nan", lambda a: a.number("min")),
        ("order=sideways", lambda a: a.choice("order", ("up", "down"))),
        ("", lambda a: a.needed("id", "an id")),
    ],
)
def test_what_means_nothing_is_a_sentence(query, ask):
    with pytest.raises(ValueError, match=r"is a|is one of|needs"):
        ask(Asked.parse(query))


def test_addresses_say_what_they_ask_for():
    asked = Asked.parse("a=1&b=&c=x&c=y&c=x")
    assert asked.all("c") == ["x", "y"] and asked.text("b") is None
    assert asked.changed(a=2, c=None) == "a=2"
    assert address("/x", a="ü &", b=None, c=["1", "2"], d="") == "/x?a=%C3%BC+%26&c=1&c=2"
    assert address("/x", a="\ud800") == "/x?a=%3F"
