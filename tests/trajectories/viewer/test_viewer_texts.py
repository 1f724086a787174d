"""What stands on a page of a text: all of it, visible, coloured as in a terminal, and never more than asked for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from trajectories.viewer import ansi
from trajectories.viewer.parts import FIRST_CHARACTERS, PIECE, Limits, formed, next_piece, shown
from trajectories.viewer.texts import lines_of, piece, visible

ANY = st.text(st.characters(codec=None, exclude_categories=[]), max_size=300)


def plain(markup):
    return Markup(re.sub(r"</?span[^>]*>", "", markup)).unescape()


@given(ANY)
def test_nothing_on_a_page_is_hidden(text):
    seen = visible(lines_of(text))
    assert all(c in "\n\t" or c.isprintable() or c.isspace() or c > "\ud7ff" for c in seen)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\ud800-\udfff]", seen)
    seen.encode()


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain ünï 漢 \N{GRINNING FACE}\n\t", "plain ünï 漢 \N{GRINNING FACE}\n\t"),
        ("\x00\x07\x1b\x7f", "\u2400\u2407\u241b\u2421"),
        ("a\u202eb\u2066c", "a⟨U+202E⟩b⟨U+2066⟩c"),
        ("\x9b\ud800", "\ufffd\ufffd"),
    ],
)
def test_what_cannot_be_seen_gets_a_sign(text, seen):
    assert visible(text) == seen


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("\x1b[31mred\x1b[0m plain", '<span class="f1">red</span> plain'),
        (
            "\x1b[1;4;32mok\x1b[22m.\x1b[m.",
            '<span class="f2 a-bold a-under">ok</span><span class="f2 a-under">.</span>.',
        ),
        ("\x1b[38;5;208mo\x1b[48;5;17mb\x1b[39;49mx", '<span class="f208">o</span><span class="f208 b17">b</span>x'),
        ("\x1b[38;2;255;0;0mr\x1b[38;2;8;8;8mg", '<span class="f196">r</span><span class="f232">g</span>'),
        ("\x1b[91mbright\x1b[107mback", '<span class="f9">bright</span><span class="f9 b15">back</span>'),
        ("\x1b[38:5:1mcolons", '<span class="f1">colons</span>'),
        ("a\x1b[2Jb\x1b[10;20Hc\x1b[?25ld\x1b]0;title\x07e\x1b]8;;http://x\x1b\\f\x1b(Bg\x1bMh", "abcdefgh"),
        ("\x1b[38;5mcut off\x1b[38;2;1;2mtoo", "cut offtoo"),
        ("50%\r100%\r\ndone", "50%\n100%\ndone"),
        ("<b>\x1b[31m&<i>", '&lt;b&gt;<span class="f1">&amp;&lt;i&gt;</span>'),
        ("\x1b[31", "\u241b[31"),
    ],
)
def test_colours_are_those_of_a_terminal(text, html):
    assert ansi.rendered(text) == html


@given(st.text(st.sampled_from("ab<\x1b[]31m;0 \n8\x07\\"), max_size=200), st.integers(0, 200), st.integers(0, 200))
def test_a_part_looks_as_it_does_in_the_whole(text, a, b):
    start, end = sorted((min(a, len(text)), min(b, len(text))))
    whole = plain(ansi.rendered(text[:end]))
    assert whole.endswith(plain(ansi.rendered(text, start, end)))
    assert not re.search(r"<(?!/?span)", ansi.rendered(text))


def test_every_class_of_a_colour_is_in_the_stylesheet():
    sheet = ansi.stylesheet()
    assert all(f".f{i}{{" in sheet and f".b{i}{{" in sheet for i in range(256))
    assert ".f196{color:#ff0000}" in sheet and ".f232{color:#080808}" in sheet


@given(st.text("ab\n", max_size=3_000), st.integers(4, 60), st.integers(16, 600))
def test_a_long_text_is_shown_by_its_ends_and_what_is_left_out_is_known(text, lines, characters):
    found = shown(text, "plain", Limits(lines, characters))
    if piece(text, lines=lines, characters=characters) is None:
        assert found.head == text and found.left_out == 0
        return
    assert found.head + text[found.start : found.end] + found.tail == text
    assert len(found.head) + len(found.tail) <= characters and (found.head + found.tail).count("\n") <= lines
    assert found.lines == text.count("\n", found.start, found.end)


@given(st.text("ab\n", max_size=3_000))
def test_pieces_follow_each_other_to_the_end(text):
    start = 0
    while start < len(text):
        stop = next_piece(text, start, len(text))
        assert start < stop <= start + PIECE
        start = stop
    assert start == len(text)


def test_one_endless_line_is_cut_too():
    found = shown("x" * 1_000_000, "ansi", Limits())
    assert len(found.head) + len(found.tail) <= FIRST_CHARACTERS and found.left_out > 900_000


def test_a_diff_is_coloured_line_by_line():
    html = formed("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-<old>\n+\x1b[31mnew\n same\n", "diff", 0, 10_000)
    classes = re.findall(r'<span class="(\w+)">([^<]*)', html)
    assert classes == [
        ("file", "--- a/x\n"),
        ("file", "+++ b/x\n"),
        ("hunk", "@@ -1 +1 @@\n"),
        ("del", "-&lt;old&gt;\n"),
        ("add", "+new\n"),
        ("same", " same\n"),
    ]


def test_a_comment_that_was_taken_out_is_no_header_of_a_file():
    diff = "--- a/x.sql\n+++ b/x.sql\n@@ -1 +1 @@\n--- drop old\n+++ new\n"
    page = str(formed(diff, "diff", 0, len(diff)))
    assert '<span class="del">--- drop old\n' in page and '<span class="add">+++ new\n' in page
    middle = diff.index("--- drop")
    assert str(formed(diff, "diff", middle, len(diff))) == page[page.index('<span class="del">') :]
    assert formed("--- drop", "edit", 0, 8) == Markup('<span class="del">--- drop\n</span>')


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u3164b\u2800", "a⟨U+3164⟩b⟨U+2800⟩"),
        ("secret\U000e0148\ufe01", "secret⟨U+E0148⟩⟨U+FE01⟩"),
        ("a\u200db x\ufe0f", "a⟨U+200D⟩b x⟨U+FE0F⟩"),
        ("⚠\ufe0f ❤\ufe0f\u200d🔥 \u0645\u06cc\u200c\u062e", "⚠\ufe0f ❤\ufe0f\u200d🔥 \u0645\u06cc\u200c\u062e"),
        ("e" + "\u0301" * 10, "e" + "\u0301" * 8 + "⟨U+0301⟩" * 2),
        ("\u00a0", "\u00a0"),
    ],
)
def test_what_cannot_be_seen_has_a_sign_but_where_a_script_is_written_with_it(text, shown):
    assert visible(text) == shown
