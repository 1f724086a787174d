"""The patch is masked wherever the policy wrote it, and nothing else is."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from trajectory_builders import call, trajectory, turn

from trajectories.mining.masking import added_lines, leaks, mask_trajectory
from trajectories.records import MASK, ContextTurn, MaskedContext, ToolCall, Trajectory, Turn

LINE = "return a - b * 7"


def with_turns(*turns: Turn, patch_line: str = "    " + LINE) -> Trajectory:
    patch = f"--- a/m.py\n+++ b/m.py\n@@ -1 +1 @@\n-    return a\n+{patch_line}\n"
    return trajectory(turns=list(turns), patch=patch)


def test_default_ends_with_the_masked_edit():
    context = mask_trajectory(trajectory())
    assert [t.tool for t in context.turns] == ["test", "view", "view", "edit"]
    assert context.turns[-1].text == call("edit", path="pkg/a.py", old=MASK, new=MASK)
    assert context.turns[-1].observation == ""
    assert "return a + b * 7" in context.turns[2].observation
    assert context.problem_statement == "area is wrong: case i1"


def test_what_follows_the_edit_stays_on_request_without_the_patch():
    context = mask_trajectory(trajectory(), keep_after_edit=True)
    assert context.turns[3].observation == f"edited\n2:     {MASK}"
    assert context.turns[4].observation == "resolved"
    assert leaks(context, trajectory().patch) == []


def test_hermes_json_is_masked_and_stays_json():
    new = 'def f(a, b):\n    """Ünïcode \\ "quoted"."""\n    return a - b * 7'
    arguments = {"path": "m.py", "old": "return a", "new": new}
    text = "<tool_call>\n" + json.dumps({"name": "edit", "arguments": arguments}) + "\n</tool_call>"
    edit = Turn(text=text, tool_call=ToolCall(name="edit", arguments=arguments))
    (masked,) = mask_trajectory(with_turns(edit)).turns
    inner = masked.text.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")
    assert json.loads(inner) == {"name": "edit", "arguments": {"path": "m.py", "old": MASK, "new": MASK}}


def test_reasoning_stays_but_for_the_patch_line():
    edit = turn("edit", think=f"The sign is wrong, so it must be `{LINE}`.\n", path="m.py", new=LINE)
    (masked,) = mask_trajectory(with_turns(edit)).turns
    assert masked.text.startswith(f"The sign is wrong, so it must be `{MASK}`.\n")


def test_a_line_that_was_shown_before_may_be_quoted():
    view = turn("view", f"12: {LINE}\n", path="n.py")
    quote = turn("search", "", pattern=LINE)
    edit = turn("edit", path="m.py", new=LINE)
    context = mask_trajectory(with_turns(view, quote, edit))
    assert LINE in context.turns[1].text
    assert context.turns[2].text.count(MASK) == 1


@pytest.mark.parametrize("shown", [f"  12\t{LINE}", f"12: {LINE}", f"n.py:3:    {LINE}", f"E   {LINE}", f"+{LINE}"])
def test_views_greps_and_diffs_show_a_line(shown):
    context = mask_trajectory(with_turns(turn("bash", shown, command="show"), turn("bash", command=LINE)))
    assert context.turns[1].text == call("bash", command=LINE)


def test_a_longer_line_does_not_count_as_seen():
    view = turn("view", f"12: {LINE} + c\n", path="n.py")
    edit = turn("edit", think=f"I write {LINE}. ", path="m.py", new=LINE)
    assert LINE not in mask_trajectory(with_turns(view, edit)).turns[1].text


def test_a_shell_command_that_writes_the_patch_is_an_edit():
    heredoc = f"cat > m.py <<'EOF'\ndef f(a, b):\n    {LINE}\nEOF"
    context = mask_trajectory(with_turns(turn("bash", "ok", command=heredoc), turn("submit")))
    assert [t.text for t in context.turns] == [call("bash", command=f"cat > m.py <<'EOF'\n{MASK}\nEOF")]


@pytest.mark.parametrize(
    "edit",
    [
        Turn(text="edit!! garbled", tool_call=ToolCall(name="edit", error="cannot be read")),
        Turn(text="edit m.py with ???", tool_call=ToolCall(name="edit", arguments={"new": "x = 1"})),
    ],
)
def test_an_edit_that_cannot_be_found_in_the_text_is_masked_whole(edit):
    assert mask_trajectory(with_turns(edit)).turns[0].text == MASK


def test_an_unfinished_parameter_is_masked_to_the_end():
    text = "<tool_call>\n<function=edit>\n<parameter=path>\nm.py\n</parameter>\n<parameter=new>\nx = 1\ny = 2"
    edit = Turn(text=text, tool_call=ToolCall(name="edit", arguments={"path": "m.py", "new": "x = 1\ny = 2"}))
    assert mask_trajectory(with_turns(edit)).turns[0].text == text.replace("x = 1\ny = 2", MASK)


def test_added_lines():
    patch = (
        "--- a/m\n+++ b/m\n@@ -1,3 +1,4 @@\n context\n-old = line\n+    else:\n++++ counter\n+    x = compute( 1 )\n"
    )
    assert added_lines(patch) == ["+++ counter", "x = compute( 1 )"]


def test_leaks_finds_what_masking_did_not():
    patch = f"--- a/m\n+++ b/m\n@@ -1 +1 @@\n-x\n+{LINE}\n"
    turns = [ContextTurn(text="view"), ContextTurn(text=MASK, observation=f"now: {LINE}", tool="edit", edits=True)]
    context = MaskedContext(trajectory_id="t", problem_statement="p", turns=turns)
    assert leaks(context, patch) == [LINE]


code = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


@example(lines=["<PATCH_M"], as_json=False, keep=False)
@given(lines=st.lists(code, min_size=1, max_size=4), as_json=st.booleans(), keep=st.booleans())
def test_masking_never_leaks(lines, as_json, keep):
    new = "\n".join(lines)
    arguments = {"path": "m.py", "new": new}
    written = json.dumps({"name": "edit", "arguments": arguments}) if as_json else call("edit", **arguments)
    edit = Turn(
        text=f"Now {new}\n{written}", tool_call=ToolCall(name="edit", arguments=arguments), observation=f"ok {new}"
    )
    patch = "--- a/m\n+++ b/m\n@@ -1 +1 @@\n" + "".join(f"+{line}\n" for line in lines)
    t = trajectory(turns=[turn("view", "nothing", path="m.py"), edit], patch=patch, problem_statement="p")
    assert leaks(mask_trajectory(t, keep_after_edit=keep), patch) == []


def test_the_other_kind_of_quotes_hides_nothing():
    line = "return getattr(self, 'model', None) == getattr(other, 'model', None)"
    told = turn(
        "edit", think='So: return getattr(self, "model", None) == getattr(other, "model", None).', path="m.py", new=line
    )
    context = mask_trajectory(
        with_turns(told, patch_line='    return getattr(self, "model", None) == getattr(other, "model", None)')
    )
    assert "getattr" not in context.turns[0].text and f"So: {MASK}." in context.turns[0].text


def test_after_the_edit_a_part_of_a_line_is_masked_where_it_had_not_been_shown():
    line = "    return a - b * scale_factor(depth_of_box, order=3)"
    edit = turn("edit", "now: { return a - b * scale_factor(depth_of_box, order = 3) }", path="m.py", new="other")
    look = turn("view", "  x = a - b * scale_factor(depth_of_box, order=3) + 1\n  y = scale_factor(d)\n", path="n.py")
    context = mask_trajectory(with_turns(edit, look, patch_line=line), keep_after_edit=True)
    assert context.turns[0].observation == f"now: {{ {MASK} }}"
    assert context.turns[1].observation == f"  x = {MASK} + 1\n  y = scale_factor(d)\n"
    context = mask_trajectory(with_turns(look, edit, look, patch_line=line), keep_after_edit=True)
    assert context.turns[2].observation == look.observation


SCRIPT = "from m import f\nprint(f(3, 4))  # prints 1, not 31"
REPRODUCED = (
    "diff --git a/m.py b/m.py\n--- a/m.py\n+++ b/m.py\n@@ -1 +1 @@\n-    return a\n+    return a - b * 7\n"
    "diff --git a/reproduce.py b/reproduce.py\nnew file mode 100644\n"
    "--- /dev/null\n+++ b/reproduce.py\n@@ -0,0 +1,2 @@\n" + "".join(f"+{line}\n" for line in SCRIPT.split("\n"))
)


@pytest.mark.parametrize("patch", ["", REPRODUCED, REPRODUCED.replace("\n", "\r\n")])
@pytest.mark.parametrize(
    "opening",
    [
        turn("create", "[File: /r/reproduce.py (1 lines total)]", filename="reproduce.py"),
        turn("bash", "[File: /r/reproduce.py (1 lines total)]", command="create reproduce.py"),
    ],
)
def test_a_script_that_reproduces_the_issue_is_no_edit(opening, patch):
    """In the agent's editor an edit goes to the file that is open; the patch may hold the script."""
    write = turn("edit", "written", start_line="1", end_line="1", replacement_text=SCRIPT)
    typed = turn("bash", "written", command=f"edit 1:1\n{SCRIPT}\nend_of_edit")
    move = turn("open", "1: return a", path="m.py")
    edit = turn("edit", "edited", start_line="1", end_line="1", replacement_text="    " + LINE)
    made = with_turns(opening, write, typed, move, edit)
    context = mask_trajectory(made.model_copy(update={"patch": patch or made.patch}))
    assert [t.edits for t in context.turns] == [False] * 4 + [True]
    assert SCRIPT.split("\n")[1] in context.turns[1].text + context.turns[2].text
    assert LINE not in context.turns[4].text


def test_a_patch_of_nothing_but_a_script_is_that_script():
    only = REPRODUCED[REPRODUCED.index("diff --git a/repro") :]
    assert added_lines(only) == SCRIPT.split("\n")
    assert added_lines(REPRODUCED) == [LINE]


def test_a_script_whose_name_ends_like_the_file_is_no_edit():
    script = turn("bash", "1", command="cat > verify_m.py <<'EOF'\nimport m\nprint(m.f(3, 4))\nEOF\npython verify_m.py")
    edit = turn("edit", path="m.py", new=LINE)
    context = mask_trajectory(with_turns(script, edit))
    assert [t.edits for t in context.turns] == [False, True] and "print(m.f(3, 4))" in context.turns[0].text


def test_what_a_script_quotes_does_not_hide_the_rest_of_it():
    quoting = turn("bash", "1", command=f"python - <<'EOF'\nfrom numbers import Number\n{LINE}\nEOF")
    later = turn("bash", "2", command="python - <<'EOF'\nfrom numbers import Number\nprint(Number)\nEOF")
    context = mask_trajectory(with_turns(quoting, later, turn("edit", path="m.py", new=LINE)), keep_after_edit=True)
    assert LINE not in context.turns[0].text
    assert "from numbers import Number\nprint(Number)" in context.turns[1].text and not context.turns[1].edits


def test_what_stands_around_a_script_is_not_hidden_later():
    """The end of a quoted script and the path behind it are no lines of the patch."""
    write = turn("bash", "", command="sed -i 's/return a$/\n    return a - b * 7\n/' pkg/module/m.py")
    look = turn("bash", "none", command="grep -n area pkg/module/m.py")
    context = mask_trajectory(with_turns(write, look), keep_after_edit=True)
    assert [t.edits for t in context.turns] == [True, False]
    assert "grep -n area pkg/module/m.py" in context.turns[1].text
