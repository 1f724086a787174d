"""Charts draw what can be drawn, say what they left out, and stay small."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trajectory_builders import trajectory

from trajectories.queries import Margin
from trajectories.viewer.bars import stacked
from trajectories.viewer.charts import MOST, line_chart, thinned
from trajectories.viewer.curves import figures

ODD = st.one_of(
    st.floats(), st.integers(-(10**400), 10**400), st.none(), st.text(max_size=3), st.booleans(), st.just(10**400)
)
ROW = st.fixed_dictionaries(
    {"iteration": ODD},
    optional={
        "kl": ODD,
        "resolve_rate": ODD,
        "selection_accuracy": st.dictionaries(st.text(max_size=3), ODD, max_size=2),
        "seconds": st.one_of(ODD, st.dictionaries(st.sampled_from(["sampling", "grading"]), ODD)),
        "sandboxes": st.one_of(ODD, st.fixed_dictionaries({"mean": ODD})),
    },
)


@given(st.lists(ROW, max_size=6))
def test_whatever_was_measured_there_is_a_page(rows):
    for figure in figures({"one": rows, "two": rows}):
        assert not re.search(r'="(?:[^"]* )?-?(?:nan|inf)', figure.drawing)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"kl": 1e308}, {"kl": -1e308}, {"kl": 1.0}], "2 values are left out"),
        ([{"kl": 10**400}, {"kl": 1.0}], "1 value is left out"),
        ([{"kl": None}, {"kl": 1.0}], "1 value is left out"),
        ([{"seconds": {"sampling": 1e308, "grading": 1e308}}, {"seconds": {"sampling": 1}}], "2 values are left out"),
        ([{"seconds": {"sampling": -1.0}}, {"seconds": {"sampling": 1}}], "1 value is left out"),
    ],
)
def test_what_cannot_be_drawn_is_left_out_and_said(store, client, rows, said):
    store.claim_run("m")
    store.add(trajectory(run="m"))
    for i, row in enumerate(rows):
        store.add_metrics("m", i, {"iteration": i, **row})
    for path in ("/", "/run?name=m", "/compare?run=m"):
        page = client.get(path)
        assert page.status_code == 200 and said in page.text and page.text.count("<svg") == 1, path


def test_a_margin_that_cannot_be_drawn_is_said():
    from trajectories.viewer.pages.pairs import margin_chart

    drawn = margin_chart([Margin("p", 1, True, 1e308), Margin("p", 2, True, 0.5), Margin("p", 3, True, 0.7)])
    assert "1 value is left out" in drawn and drawn.count("<circle") == 2


def test_a_long_run_is_drawn_small_and_keeps_its_peaks():
    rows = [{"iteration": i, "kl": 0.1, "resolve_rate": 0.5, "seconds": {"sampling": 2.0}} for i in range(3_000)]
    rows[1234]["kl"], rows[2000]["resolve_rate"] = 7.0, 1.0
    drawn = {figure.title: figure.drawing for figure in figures({"one": rows})}
    assert all(len(drawing) < 60_000 for drawing in drawn.values())
    assert "iteration 1234: 7<" in drawn["KL"] and "iteration 2000: 100%" in drawn["Resolve rate"]
    assert re.search(r"sampling, iterations \d+ to \d+, mean: 2.0 s<", drawn["Time split"])
    assert drawn["Time split"].count("<rect") <= MOST


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-5, 5)), max_size=3 * MOST))
def test_thinning_keeps_order_and_ends_of_the_scale(values):
    points = [(float(i), float(y)) for i, (_, y) in enumerate(values)]
    kept = thinned(points)
    assert list(kept) == sorted(kept) and set(kept) <= set(points) and len(kept) <= max(MOST, 1)
    if points:
        assert {min(y for _, y in points), max(y for _, y in points)} <= {y for _, y in kept}


def test_axes_and_means_have_names():
    chart = line_chart({"a": [(0, 1.0), (1, 2.0)]}, x_name="policy version")
    assert ">policy version</text>" in chart
    assert ">iteration</text>" in stacked([(0, {"a": 1.0}), (1, {"a": 2.0})])
    rows = [{"iteration": i, "reward_mean": 0.5, "kl": 0.5} for i in range(3)]
    told = {figure.title: figure.text for figure in figures({"one": rows})}
    assert "the mean of 5 iterations" in told["Reward"] and "mean of" not in told["KL"]


def test_how_the_terms_pull_and_what_teaches():
    rows = [
        {
            "iteration": i,
            "grad_norm_grpo": 0.5,
            "grad_norm_ca": 0.25,
            "cosine_grpo_ca": -0.125,
            "ca_weight": 0.005,
            "tokens_shared": 0.375,
            "salvage": {"policy": 0.5, "all": 0.75},
        }
        for i in range(2)
    ]
    drawn = {figure.title: figure.drawing for figure in figures({"one": rows})}
    assert list(drawn) == [
        "Gradient norms of the terms",
        "Cosine of the terms' gradients",
        "Weight of L_CA",
        "Sandbox time that teaches",
        "Tokens shared",
    ]
    assert drawn["Gradient norms of the terms"].count("<polyline") == 2
    assert 'class="mark"' in drawn["Cosine of the terms' gradients"]
    assert "iteration 1: 75%" in drawn["Sandbox time that teaches"]
    assert "iteration 1: 38%" in drawn["Tokens shared"]
    alone = figures({"one": [{"iteration": i, "salvage": {"policy": 0.5}} for i in range(2)]})
    assert [figure.drawing.count("iteration 1: 50%") for figure in alone] == [1], "of a run without pairs"
