"""Labels by really running patches: an ambiguous pair falls, a clean one stands."""

import asyncio

import pytest

from contextrl.progress import Silent
from contextrl.verify_pairs import HOLDS, keep, verify_pairs, verify_stored
from envs.definitions import changed_definitions
from envs.generated.variants import candidates
from envs.grading.choose import TaskGrader
from envs.patch import apply_patch, make_patch
from envs.repos import add_repository
from envs.task import TaskInstance
from sandbox.local import LocalBackend
from sandbox.protocol import SandboxError
from trajectories.records import ContextPair, ContextTurn, MaskedContext, Trajectory, Verdict
from trajectories.store import SQLStore


@pytest.fixture(scope="module")
def profile():
    async def add():
        backend = LocalBackend()
        try:
            return await add_repository("generated:seed=3,modules=2", backend=backend)
        finally:
            await backend.close()

    return asyncio.run(add())


@pytest.fixture
async def grader():
    backend = LocalBackend()
    grader = TaskGrader(backend)
    yield grader
    await grader.close()
    await backend.close()


def as_task(profile, candidate):
    broken = {path: candidate.broken[path] for path in candidate.fixed}
    test = f"tests.{candidate.targets[0].removeprefix('tests/').removesuffix('.py')}.Test."
    name = candidate.function.rpartition("::")[2]
    return TaskInstance(
        instance_id=candidate.instance_id,
        repo=profile.name,
        base_commit=profile.base_commit,
        problem_statement=candidate.problem_statement,
        patch=make_patch(broken, candidate.fixed),
        FAIL_TO_PASS=(f"{test}test_{name}",),
        PASS_TO_PASS=(),
        profile=profile.name,
        setup=dict(candidate.broken),
        tests=dict(candidate.tests),
        test_targets=candidate.targets,
        files=tuple(candidate.fixed),
        functions=(candidate.function,),
        hidden=candidate.hidden,
    )


@pytest.fixture(scope="module")
def tasks(profile):
    """Seven tasks of one function: the first and the last are two bugs that are repaired to the same text."""
    every = list(candidates(profile.tree, per_function=7))
    first = [c for c in every if c.function == every[0].function]
    return [as_task(profile, candidate) for candidate in first]


def solved(task, patch=None):
    """A trajectory that wrote this patch, by default the right one."""
    patch = task.patch if patch is None else patch
    after = apply_patch(task.setup.get, patch)
    before = {path: task.setup[path] for path in after}
    return Trajectory(
        id=f"run of {task.instance_id} {len(patch)}",
        instance_id=task.instance_id,
        repo=task.repo,
        base_commit=task.base_commit,
        problem_statement=task.problem_statement,
        patch=patch,
        answer=changed_definitions(before, after),
        files=list(task.files),
        functions=list(task.functions),
        verdict=Verdict(resolved=True),
    )


def pair_of(anchor, confounder, **fields):
    contexts = [
        MaskedContext(
            trajectory_id=t.id,
            instance_id=t.instance_id,
            problem_statement=t.problem_statement,
            turns=[ContextTurn(text=t.id)],
        )
        for t in (anchor, confounder)
    ]
    values = {
        "run": "mined",
        "repo": anchor.repo,
        "base_commit": anchor.base_commit,
        "file": anchor.files[0],
        "function": anchor.functions[0],
        "answer": anchor.answer,
        "confounder_answer": confounder.answer,
        "anchor": contexts[0],
        "confounder": contexts[1],
        "judgement": "valid",
    }
    return ContextPair(**values | fields)


async def verified(pairs, trajectories, tasks, profile, grader):
    store = SQLStore("sqlite://")
    for t in trajectories:
        store.add(t)
    store.add_pairs(pairs)
    by_id = {task.instance_id: task for task in tasks}
    profiles = {task.instance_id: profile for task in tasks}
    return store, await verify_pairs(pairs, store, by_id, profiles, grader, Silent())


async def test_an_ambiguous_pair_falls_and_a_clean_one_stands(tasks, profile, grader):
    bug, change, same = solved(tasks[0]), solved(tasks[1]), solved(tasks[6])
    assert bug.answer == same.answer != change.answer
    assert bug.patch != same.patch
    unknown = {"judgement": "uncertain", "reasons": ["other_answer: no right answer to the confounder's task is known"]}
    pairs = [
        pair_of(bug, change),
        pair_of(bug, same),
        pair_of(change, bug, **unknown),
        pair_of(change, same, judgement="uncertain", reasons=["no_leak: the anchor names 'x'"]),
    ]
    store, found = await verified(pairs, [bug, change, same], tasks, profile, grader)
    assert [one.judgement for one in found] == ["valid", "invalid", "valid", "uncertain"]
    assert found[0].reason == "verify: the anchor's patch resolves its task and not the confounder's"
    assert found[1].reason == "verify: the anchor's patch resolves the confounder's task as well"

    for one in found:
        keep(store, "mined", one)
    alive = {p.id: p for p in store.pairs(run="mined", retired=False)}
    assert set(alive) == {pairs[i].id for i in (0, 2, 3)}
    assert [alive[pairs[i].id].judgement for i in (0, 2, 3)] == ["valid", "valid", "uncertain"]
    assert alive[pairs[3].id].reasons == [*pairs[3].reasons, found[3].reason]
    assert "resolves the confounder's task" in store.pair_life([pairs[1].id])[pairs[1].id].retired
    assert store.funnel("mined") == {"verified": 3, "refuted": 1}


async def test_an_anchor_that_does_not_resolve_its_task_falls(tasks, profile, grader):
    task, path = tasks[0], tasks[0].files[0]
    other = task.setup[path].replace("return ", "return 77 * ")
    wrong = solved(task, make_patch({path: task.setup[path]}, {path: other}))
    _, (one,) = await verified([pair_of(wrong, solved(tasks[1]))], [wrong, solved(tasks[1])], tasks, profile, grader)
    assert one.judgement == "invalid"
    assert one.reason.startswith("verify: the anchor's patch does not resolve its own task: still failing")


class Broken:
    async def grade(self, task, profile, patch):
        raise SandboxError("the engine is gone")


@pytest.mark.parametrize(
    ("known", "kept", "reason"),
    [
        (7, True, "verify: not run, the engine is gone"),
        (1, True, "is not in the set"),
        (7, False, "the anchor's patch is not in the store"),
    ],
)
async def test_what_cannot_be_run_changes_nothing(tasks, profile, known, kept, reason):
    bug, change = solved(tasks[0]), solved(tasks[1])
    store, (one,) = await verified(
        [pair_of(bug, change)], [bug, change] if kept else [change], tasks[:known], profile, Broken()
    )
    assert one.judgement == "valid" and reason in one.reason
    keep(store, "mined", one)
    assert store.pairs(run="mined", retired=False) == [one.pair] and store.funnel("mined") == {}


class Counting:
    def __init__(self, grader):
        self.grader, self.asked = grader, []

    async def grade(self, task, profile, patch):
        self.asked.append((task.instance_id, patch))
        return await self.grader.grade(task, profile, patch)


async def test_a_patch_runs_once_on_a_task(tasks, profile, grader):
    counting = Counting(grader)
    bug, change = solved(tasks[0]), solved(tasks[4])
    pairs = [pair_of(bug, change), pair_of(change, bug), pair_of(bug, change, id="again")]
    _, found = await verified(pairs, [bug, change], tasks, profile, counting)
    assert {one.judgement for one in found} == {"valid"}
    assert len(counting.asked) == len(set(counting.asked)) == 4


async def test_a_stored_set_is_verified_with_sandboxes_of_its_own(tasks):
    bug, change, same = solved(tasks[0]), solved(tasks[1]), solved(tasks[6])
    pairs = [pair_of(bug, change), pair_of(bug, same), pair_of(change, same, judgement="invalid")]
    with SQLStore("sqlite://") as store:
        for t in (bug, change, same):
            store.add(t)
        store.add_pairs(pairs)
        known = {task.instance_id: task for task in tasks}
        found = await verify_stored(store, "mined", known, Silent(), backend="local")
        assert [one.judgement for one in found] == ["valid", "invalid"]
        assert [p.id for p in store.pairs(run="mined", judgement="valid", retired=False)] == [pairs[0].id]
        assert await verify_stored(store, "mined", known, Silent(), backend="local") == [], "all of it is known"
        assert store.funnel("mined") == {"verified": 1, "refuted": 1}


async def test_what_was_verified_before_an_interruption_is_not_run_again(tasks, monkeypatch):
    bug, change, far = solved(tasks[0]), solved(tasks[1]), solved(tasks[4])
    pairs = [pair_of(bug, change), pair_of(change, bug), pair_of(far, bug), pair_of(bug, far)]
    known = {task.instance_id: task for task in tasks}
    graded, whole = [], TaskGrader.grade

    async def grade(self, task, profile, patch):
        graded.append((task.instance_id, patch))
        if len(graded) == most:
            raise KeyError("the process is stopped")
        return await whole(self, task, profile, patch)

    monkeypatch.setattr(TaskGrader, "grade", grade)
    with SQLStore("sqlite://") as store:
        for t in (bug, change, far):
            store.add(t)
        store.add_pairs(pairs)
        most = 5
        with pytest.raises(ExceptionGroup):
            await verify_stored(store, "mined", known, Silent(), backend="local")
        before = store.funnel("mined")["verified"]
        assert 1 <= before < 4
        most = 0
        found = await verify_stored(store, "mined", known, Silent(), backend="local")
        assert len(found) == 4 - before
        assert store.funnel("mined") == {"verified": 4}
        assert all(p.reasons == [HOLDS] for p in store.pairs(run="mined"))


async def test_what_could_not_be_run_is_told_and_asked_again(tasks):
    bug, change = solved(tasks[0]), solved(tasks[1])

    class Heard(Silent):
        def log(self, text):
            said.append(text)

    said = []
    with SQLStore("sqlite://") as store:
        store.add(bug)
        store.add(change)
        store.add_pairs([pair_of(bug, change), pair_of(change, bug)])
        await verify_stored(store, "mined", {}, Heard(), backend="local")
        assert sorted(said) == [
            f"1 pairs were left as they are; verify: not run, the task {task.instance_id} is not in the set"
            for task in tasks[:2]
        ]
        known = {task.instance_id: task for task in tasks}
        assert len(await verify_stored(store, "mined", known, Silent(), backend="local")) == 2
