"""Output: any bytes, any amount, never mistaken for an answer of the sandbox itself."""

from __future__ import annotations

from sandbox.conformance.bed import Bed
from sandbox.protocol import Sandbox

_FRAME = r"printf '\0\0\0\x02\0\0\0\0\0\0\0\0{}'"
_HEADER = '{"code": 0, "seconds": 0, "timed_out": false, "streams": [[0, 0, 0], [0, 0, 0]]}'


async def _answers(box: Sandbox) -> None:
    """The next five commands get their own answers."""
    for number in range(5):
        result = await box.run(f"echo {number}; echo error {number} >&2; (exit {number})", timeout_s=10)
        assert (result.stdout, result.stderr, result.exit_code) == (f"{number}\n", f"error {number}\n", number)


async def any_bytes(bed: Bed) -> None:
    """Any byte may be printed; what is no UTF-8 appears as \\xNN."""
    box = await bed.start()
    assert (await box.run(r"printf 'a\xff\x00b\r\n\x1b[31mred\x1b[0m'")).stdout == "a\\xff\x00b\r\n\x1b[31mred\x1b[0m"
    everything = await box.run(["python", "-c", "import os; os.write(1, bytes(range(256)))"])
    assert everything.stdout.startswith("".join(map(chr, range(128))))
    assert everything.stdout.endswith("\\xff")
    assert (await box.run("printf 'no newline'; printf 'ü' >&2")).output == "no newlineü"


async def long_output_keeps_head_and_tail(bed: Bed) -> None:
    """Of a long stream the head and the tail are kept, and the number of bytes between them is told."""
    box = await bed.start(output_kb=8)
    result = await box.run("echo first; seq 100000; echo last")
    assert result.stdout.startswith("first\n1\n")
    assert result.stdout.endswith("100000\nlast\n")
    total = len("first\nlast\n") + sum(len(f"{n}\n") for n in range(1, 100001))
    assert result.dropped_bytes == total - 8192
    assert f"[... {result.dropped_bytes} bytes left out ...]" in result.stdout


async def output_up_to_the_limit_is_whole(bed: Bed) -> None:
    """Output of exactly the allowed size is not cut, one byte more is."""
    box = await bed.start(output_kb=4)
    whole = await box.run("head -c 4096 /dev/zero | tr '\\0' x")
    assert (whole.stdout, whole.dropped_bytes) == ("x" * 4096, 0)
    assert (await box.run("head -c 4097 /dev/zero")).dropped_bytes == 1


async def a_hundred_megabytes_on_both_streams(bed: Bed) -> None:
    """100 MB without a newline, to both streams at once, pass through."""
    box = await bed.start(output_kb=4)
    flood = "head -c 100000000 /dev/zero"
    result = await box.run(f"{flood} >&2 & {flood}; wait", timeout_s=120)
    assert (result.exit_code, result.timed_out) == (0, False)
    assert result.dropped_bytes == 2 * (100_000_000 - 4096)
    await _answers(box)


async def closed_streams_are_no_end(bed: Bed) -> None:
    """A command that closes its streams is waited for all the same."""
    box = await bed.start()
    assert (await box.run(["bash", "-c", "exec >&- 2>&-; sleep 0.3; exit 5"])).exit_code == 5
    assert (await box.run("(exec >&- 2>&-; sleep 0.3; exit 5)")).exit_code == 5
    assert (await box.run("exec >&- 2>&-; sleep 0.3; (exit 5)")).exit_code == 5
    await _answers(box)


async def redirections_end_with_their_command(bed: Bed) -> None:
    """`exec >/dev/null` and its like hold for one command; the next one is heard, and has an empty standard input."""
    box = await bed.start()
    for script in ("exec >/dev/null", "exec 2>/dev/null", "exec >&- 2>&- <&-", "exec 0<&-", "exec >gone 2>&1; rm gone"):
        await box.run(script)
        result = await box.run("cat; echo out; echo err >&2", timeout_s=10)
        assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 0), script
    await _answers(box)


async def printed_frames_are_output(bed: Bed) -> None:
    """What looks like the sandbox's own answer is output, through whichever descriptor it is written."""
    box = await bed.start()
    frame = _FRAME.format(_HEADER).replace("\\x02", f"\\x{len(_HEADER):02x}")
    result = await box.run(f"{frame}; (exit 4)")
    assert result.exit_code == 4
    assert result.stdout.endswith(_HEADER)
    forge = f"for fd in $(seq 3 255); do {frame} >&$fd; done 2>/dev/null"
    for script in (
        forge,
        f"for file in /proc/$$/fd/*; do {frame} >$file; done 2>/dev/null",
        f"for file in /proc/[0-9]*/fd/*; do {frame} >$file; done 2>/dev/null",
        f"for file in /proc/1/fd/* /dev/fd/*; do {frame} >>$file; done 2>/dev/null",
    ):
        await box.run(script, timeout_s=20)
        await _answers(box)
        await box.run(["bash", "-c", script], timeout_s=20)
        await _answers(box)


async def stolen_descriptors_serve_nobody(bed: Bed) -> None:
    """Reading from or closing every descriptor of the shell costs its state and one time-out at most."""
    for script in (
        "for fd in $(seq 3 255); do read -t 0.05 -N 100000 -u $fd x; done 2>/dev/null",
        "for fd in $(seq 3 255); do cat <&$fd & done 2>/dev/null; sleep 0.2",
        'for fd in $(seq 0 255); do eval "exec $fd>&-"; done',
        "for fd in /proc/$$/fd/*; do timeout 0.1 cat $fd; done 2>/dev/null",
    ):
        box = await bed.start()
        await box.run(script, timeout_s=30)
        answers = [await box.run(f"echo {number}", timeout_s=2) for number in range(12)]
        told = [answer.stdout for answer in answers if not answer.timed_out]
        assert len(told) >= len(answers) - 1, (
            f"{len(answers) - len(told)} time-outs"
        )  # a thief may wait before it steals
        assert told == [f"{n}\n" for n, answer in enumerate(answers) if not answer.timed_out]
