"""Scripts: a string may be any bash program, of any length."""

from __future__ import annotations

from sandbox.conformance.bed import Bed


async def heredocs_and_many_lines(bed: Bed) -> None:
    """Heredocs, loops over lines, comments and continued lines work as in a script file."""
    box = await bed.start()
    script = "for i in 1 2; do\ncat <<'EOF'\nline $i\nEOF\ndone\n# comment\necho \\\nend"
    assert (await box.run(script)).stdout == "line $i\nline $i\nend\n"
    nested = "x=1\ncat <<A; cat <<-'B'\n$x\nA\n\t$x\n\tB\necho after"
    assert (await box.run(nested)).stdout == "1\n$x\nafter\n"
    assert (await box.run("cat <<<'one word'; cat <(echo two)")).stdout == "one word\ntwo\n"


async def line_ends_and_quotes(bed: Bed) -> None:
    """Quotes of all kinds, backslashes and lines at the end that have no newline arrive as they were sent."""
    box = await bed.start()
    script = """printf '%s|' 'a"b' "c'd" $'e\\tf' \\\\ "g\nh" '$x' "\\$x" `echo i`"""
    assert (await box.run(script)).stdout == "a\"b|c'd|e\tf|\\|g\nh|$x|$x|i|"
    assert (await box.run("echo a \\")).stdout in ("a\n", "a \\\n")
    assert (await box.run("echo -n; printf %s 'ü€𝄞'")).stdout == "ü€𝄞"


async def a_script_of_a_megabyte(bed: Bed) -> None:
    """A script longer than any argument list runs whole."""
    box = await bed.start()
    script = "".join(f"n={number} # {'x' * 80}\n" for number in range(12_000)) + "echo $n"
    assert len(script) > 1_000_000
    assert (await box.run(script)).stdout == "11999\n"
    word = "y" * 1_000_000
    assert (await box.run(f"text={word}")).exit_code == 0
    assert (await box.run("echo ${#text}")).stdout == "1000000\n"


async def syntax_errors(bed: Bed) -> None:
    """A syntax error gives exit code 2 and a message, and the session goes on as it was."""
    box = await bed.start()
    await box.run("kept=1")
    for script in ("if", "fi", "echo (", "}", "for x in 1; do", ";;", "case x in", "f() {", "echo 'open", 'echo "open'):
        result = await box.run(script)
        assert result.exit_code == 2, script
        assert result.stderr, script
        assert (await box.run("echo $kept")).stdout == "1\n", script
    for script in ("echo `open", "echo $(open", "echo ${open", "echo $((1", "[[ a"):
        result = await box.run(script)
        assert result.exit_code != 0, script
        assert result.stderr, script
        assert (await box.run("echo $kept")).stdout == "1\n", script


async def an_open_heredoc_ends_with_its_script(bed: Bed) -> None:
    """A heredoc whose end is missing takes the rest of its own script and nothing of the next one."""
    box = await bed.start()
    assert (await box.run("cat <<EOF\na\nb")).stdout in ("a\nb", "a\nb\n")
    assert (await box.run("echo next; echo EOF")).stdout == "next\nEOF\n"


async def a_comment_or_backslash_at_the_end_hides_nothing(bed: Bed) -> None:
    """However a script ends, its exit code is its own and the next one starts afresh."""
    box = await bed.start()
    for script in ("false # comment", "false \\", "false;", "false\n\n\n", "false\r\n"[:5], "{ false; }", "! true"):
        assert (await box.run(script)).exit_code == 1, script
        assert (await box.run("echo on")).stdout == "on\n", script
