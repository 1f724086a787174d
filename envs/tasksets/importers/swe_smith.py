"""SWE-smith: `patch` puts the bug in. What the agent is given is the image with that patch, gold is the way back."""

from __future__ import annotations

import re

from envs.task import Difficulty, TaskInstance
from envs.tasksets.importers.repair import Row
from envs.tasksets.importers.reverse import reverse
from envs.tasksets.importers.scripts import Runner, files_of, script
from envs.tasksets.importers.swe_bench import changed_lines, files_of_patch, is_python


def task(row: Row) -> TaskInstance | None:
    """The task of a row; None for one in another language. Raises `TaskSetError`."""
    if not is_python(row):
        return None
    name, bug = row.text("instance_id"), row.patch("patch")
    tests = row.tests(pytest=True)
    runner = Runner(install="")
    targets = files_of([*tests["FAIL_TO_PASS"], *tests["PASS_TO_PASS"]])
    return TaskInstance(
        instance_id=name,
        repo=row.repo(),
        base_commit=row.text("base_commit", required=False) or _commit(row, name),
        problem_statement=_statement(row, tests["FAIL_TO_PASS"]),
        patch=reverse(bug),
        bug_patch=bug,
        FAIL_TO_PASS=tests["FAIL_TO_PASS"],
        PASS_TO_PASS=tests["PASS_TO_PASS"],
        created_at=row.created_at(),
        files=files_of_patch(row, "patch", bug),
        kind=_strategy(name),
        image=_image(row),
        eval_script=row.text("eval_script", required=False) or script(runner, "", "", targets),
        log_parser=row.text("log_parser", required=False) or runner.log_parser,
        eval_type="pass_and_fail",
        difficulty=Difficulty(lines=changed_lines(bug), tests_broken=len(tests["FAIL_TO_PASS"])),
        repairs=tuple(row.repairs),
    )


def _commit(row: Row, name: str) -> str:
    """The short commit of `owner__repo.commit.strategy__hash`: later versions of the data set dropped base_commit."""
    parts = name.split(".")
    if len(parts) < 3:
        raise row.wrong("base_commit", "is missing", "the instance_id does not name it either, so add it to the row")
    row.repairs.append("its base_commit was missing and is the short one of its instance_id")
    return parts[-2]


def _strategy(name: str) -> str:
    """`lm_rewrite`, `combine_file`, `pr`: how the bug was made."""
    return re.sub(r"_\d+$", "", name.rpartition(".")[2].partition("__")[0]) if "." in name else ""


def _image(row: Row) -> str:
    image = row.text("image_name")
    if "/" in image:
        return image
    full = f"jyangballin/{image.replace('__', '_1776_')}".lower()
    row.repairs.append(f"its image_name {image} has no publisher: {full}, as the data set's authors publish it")
    return full


def _statement(row: Row, failing: tuple[str, ...]) -> str:
    if row.has("problem_statement"):
        return row.text("problem_statement")
    row.repairs.append("its problem_statement was missing: the names of its failing tests stand for it")
    return (
        "\n".join(["These tests fail. Repair the code, not the tests.", "", *(f"- {t}" for t in failing[:10])]) + "\n"
    )
