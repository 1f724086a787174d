import io
import re

from contextrl.progress import Lines, duration, open_progress, rate


def lines(every_s: float = 5.0) -> tuple[Lines, io.StringIO, list[float]]:
    out, now = io.StringIO(), [0.0]
    return Lines(out, every_s, clock=lambda: now[0]), out, now


def test_a_log_gets_few_lines_and_the_last_state_of_a_stage() -> None:
    progress, out, now = lines()
    progress.stage("Making tasks")
    for i in range(1, 101):
        now[0] += 0.125
        progress.update(i, 100, f"task {i}")
    progress.stage("Training")
    said = out.getvalue().splitlines()
    assert said == [
        "Making tasks",
        "  Making tasks: 40/100, 8.0/s, 7.5 s left  task 40",
        "  Making tasks: 80/100, 8.0/s, 2.5 s left  task 80",
        "  Making tasks: 100/100  task 100",
        "Training",
    ]


def test_what_was_done_before_a_stage_began_does_not_count() -> None:
    progress, out, now = lines()
    progress.stage("Making tasks")
    progress.update(40, 60, "from the journal")
    now[0] = 30.0
    progress.update(50, 60, "now")
    assert out.getvalue().splitlines()[1:] == ["  Making tasks: 50/60, 20.0/min, 30 s left  now"]
    assert [rate(pace) for pace in (0, 0.5, 5, 90)] == ["", "2.0/s", "12.0/min", "90.0 s each"]


def test_what_was_kept_back_is_said_at_the_end() -> None:
    progress, out, now = lines()
    progress.stage("Training")
    now[0] = 1.0
    progress.update(3, 40, "resolved 40%")
    progress.log("checkpoint")
    progress.close()
    assert out.getvalue().splitlines() == ["Training", "checkpoint", "  Training: 3/40  resolved 40%"]


def test_where_nobody_watches_there_are_lines() -> None:
    out = io.StringIO()
    with open_progress(out) as progress:
        progress.stage("a stage [with brackets]")
        progress.update(1, None, "on its way")
    assert out.getvalue() == "a stage [with brackets]\n  a stage [with brackets]: 1  on its way\n"


def test_a_terminal_gets_bars_that_leave_a_line_per_stage() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    with open_progress(out) as progress:
        progress.stage("first [bold]")
        progress.update(2, 4, "note [red]")
        progress.log("a line [x]")
        progress.stage("second")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())
    assert all(part in text for part in ("✓ first [bold]", "note [red]", "a line [x]", "✓ second"))


def test_durations() -> None:
    assert [duration(s) for s in (0.25, 9.99, 59.6, 61, 3661)] == ["0.2 s", "10.0 s", "1:00", "1:01", "1:01:01"]
