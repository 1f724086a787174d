"""SWE-bench: Full, Lite, Verified, and the Python part of Multilingual; rows of version 5 and older ones."""

from __future__ import annotations

from envs.patch import PatchError, touched_files
from envs.task import Difficulty, TaskInstance
from envs.tasksets.harness import image_name
from envs.tasksets.importers.repair import Row
from envs.tasksets.importers.scripts import RUNNERS, Runner, script


def task(row: Row) -> TaskInstance | None:
    """The task of a row; None for one in another language. Raises `TaskSetError`."""
    if not is_python(row):
        return None
    repo = row.repo()
    runner = RUNNERS.get(repo)
    if runner is None:
        runner = Runner()
        if not row.has("eval_script"):
            row.repairs.append(f"{repo} is not in our table of test commands: its tests run with `{runner.command}`")
    return benchmark_task(row, repo, runner, image_name(row.text("instance_id")))


def benchmark_task(row: Row, repo: str, runner: Runner, image: str) -> TaskInstance:
    """A task out of a row with a gold patch and a test patch; what the row says goes before `runner` and `image`."""
    parser = row.text("log_parser", required=False) or runner.log_parser
    scripted = row.has("eval_script")
    base_commit = row.text("base_commit")
    patch, test_patch = row.patch("patch"), row.patch("test_patch", required=not scripted)
    tests = row.tests(pytest="pytest" in runner.command)
    return TaskInstance(
        instance_id=row.text("instance_id"),
        repo=repo,
        base_commit=base_commit,
        problem_statement=row.text("problem_statement"),
        patch=patch,
        test_patch=test_patch,
        FAIL_TO_PASS=tests["FAIL_TO_PASS"],
        PASS_TO_PASS=tests["PASS_TO_PASS"],
        version=row.text("version", required=False),
        hints_text=row.text("hints_text", required=False),
        created_at=row.created_at(),
        environment_setup_commit=row.text("environment_setup_commit", required=False),
        files=files_of_patch(row, "patch", patch),
        image=row.text("image", required=False) or image,
        eval_script=row.text("eval_script", required=False) or script(runner, base_commit, test_patch),
        log_parser=parser,
        eval_type=row.text("eval_type", required=False) or "pass_and_fail",
        difficulty=Difficulty(lines=changed_lines(patch), tests_broken=len(tests["FAIL_TO_PASS"])),
        repairs=tuple(row.repairs),
    )


def is_python(row: Row) -> bool:
    """By the row's language, else by the files of its gold patch."""
    if row.has("language"):
        return row.text("language").lower() in ("python", "py")
    touched = [line for line in row.text("patch", required=False).splitlines() if line.startswith(("--- ", "+++ "))]
    return not touched or any(line.split("\t")[0].rstrip().endswith((".py", ".pyi", ".pyx")) for line in touched)


def files_of_patch(row: Row, field: str, patch: str) -> tuple[str, ...]:
    """The files of a patch. Raises `TaskSetError`."""
    try:
        return tuple(touched_files(patch))
    except PatchError as error:
        raise row.wrong(field, f"cannot be read ({error})", "mend it, or leave the row out (--skip-bad)") from None


def changed_lines(patch: str) -> int:
    """Lines that a patch adds and removes."""
    lines = patch.splitlines()
    return sum(line[:1] in ("+", "-") and not line.startswith(("+++ ", "--- ")) for line in lines)
