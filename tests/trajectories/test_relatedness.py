"""Issues are related by rare words, names of code and failing tests; scores are symmetric and need no index."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajectories.mining.relatedness import EmbeddingRelatedness, Issue, LexicalRelatedness

WIDTH = Issue("`Box.width` is negative when the margin is larger than the box")
HEIGHT = Issue("Box.height is negative when the margin is larger than the box")
PICKLE = Issue("Pickling a colour fails with a TypeError, when the palette is lazy")


def test_what_is_about_the_same_scores_higher():
    near, far = LexicalRelatedness().scores(WIDTH, [HEIGHT, PICKLE])
    assert near > 0.3 > far


def test_words_that_are_everywhere_in_the_corpus_weigh_nothing():
    corpus = ["django model field", "django form field", "django query field", "django template"] * 5
    a, b, c = (Issue(f"django {word}") for word in ("form", "form", "query"))
    same, other = LexicalRelatedness(corpus).scores(a, [b, c])
    assert same == pytest.approx(1) and other < 0.1
    assert LexicalRelatedness().scores(a, [c])[0] == pytest.approx(0.5), "without a corpus all weigh the same"


def test_names_of_code_and_failing_tests_count():
    plain = Issue("it fails"), Issue("something is off")
    assert LexicalRelatedness().scores(plain[0], [plain[1]]) == [0]
    tested = [Issue(i.text, ("tests/test_box.py::test_width",)) for i in plain]
    assert LexicalRelatedness().scores(tested[0], [tested[1]])[0] > 0.2
    named = Issue("see `box_width`"), Issue("box_width, again")
    assert LexicalRelatedness().scores(named[0], [named[1]])[0] > LexicalRelatedness().scores(*plain[:1], [plain[1]])[0]


def test_code_is_told_from_words():
    assert Issue("Call os.path.join or _private or camelCase or TwoWords on `x`.").names == {
        "os.path.join",
        "_private",
        "camelCase",
        "TwoWords",
        "x",
    }


texts = st.lists(st.text("ab c_", max_size=12), min_size=2, max_size=5)


@given(texts)
def test_scores_are_symmetric_and_within_bounds(given_texts):
    issues = [Issue(t) for t in given_texts]
    relatedness = LexicalRelatedness()
    a, b, *rest = issues
    assert relatedness.scores(a, [b, *rest])[0] == pytest.approx(relatedness.scores(b, [a, *rest])[0])
    assert all(0 <= score <= 1 for score in relatedness.scores(a, [b, *rest]))


def test_vectors_are_asked_for_once():
    asked = []

    def embed(batch):
        asked.extend(batch)
        return [[1.0, 0.0] if "box" in text else [-1.0, 0.1] for text in batch]

    by_vector = EmbeddingRelatedness(embed)
    assert by_vector.scores(WIDTH, [HEIGHT, PICKLE]) == [1.0, 0.0]
    assert by_vector.scores(HEIGHT, [WIDTH]) == [1.0]
    assert len(asked) == 3
