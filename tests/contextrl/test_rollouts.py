"""Other tasks are played in place of groups in which all rewards are the same, so often at most."""

from types import SimpleNamespace

import pytest

from contextrl.rollouts import Rollouts, with_signal
from contextrl.schedule import TaskSchedule
from contextrl.world import Ground
from envs.task import TaskInstance
from trajectories.records import Trajectory


def task(number: int) -> TaskInstance:
    return TaskInstance(
        instance_id=f"t{number}", repo="r", base_commit="c", problem_statement="", patch="", FAIL_TO_PASS=("a",),
        PASS_TO_PASS=("b",), functions=(f"m.py::f{number}",),
    )  # fmt: skip


class Player:
    """Plays groups of two; those of the first tasks are all right, the others half."""

    def __init__(self, flat: int) -> None:
        self.flat, self.rounds = flat, []

    async def play(self, tasks, *, first, **_):
        self.rounds.append((first, [t.instance_id for t in tasks]))
        made = []
        for place, one in enumerate(tasks, first):
            for reward in (1.0, float(place < self.flat)):
                fields = {"repo": "r", "base_commit": "c", "problem_statement": "", "reward": reward}
                made.append(Trajectory(instance_id=one.instance_id, group=f"{place}/{one.instance_id}", **fields))
        return made


@pytest.mark.parametrize(("flat", "rounds", "sizes"), [(0, 3, [4]), (2, 3, [4, 2]), (9, 2, [4, 4, 4]), (2, 0, [4])])
async def test_flat_groups_are_made_up_for(tmp_path, flat, rounds, sizes):
    rollout = SimpleNamespace(tasks_per_iteration=4, group_size=2, dynamic_sampling=rounds, temperature=1, seconds=None)
    recipe, player = SimpleNamespace(rollout=rollout, seed=0), Player(flat)
    schedule = TaskSchedule([Ground("generated", 1.0, 0, tuple(map(task, range(30))), ())], 4, 1, seed=0)
    store = SimpleNamespace(query=lambda **_: [])
    rolled = Rollouts(recipe, "r", tmp_path, player, None, schedule, store, None)
    played, before = await rolled._play_all(5)
    assert [len(names) for _, names in player.rounds] == sizes and not before
    assert [first for first, _ in player.rounds] == [sum(sizes[:i]) for i in range(len(sizes))], "groups of their own"
    assert player.rounds[0][1] == [t.instance_id for t in schedule.batch(5)]
    for _, names in player.rounds[1:]:
        assert not set(names) & set(player.rounds[0][1]) and len(set(names)) == len(names)
    assert len(played) == 2 * sum(sizes) and with_signal(played) == max(0, sum(sizes) - flat)
    again = TaskSchedule([Ground("generated", 1.0, 0, tuple(map(task, range(30))), ())], 4, 1, seed=0)
    assert again.more(5, 1, 3) == schedule.more(5, 1, 3) != schedule.more(6, 1, 3)
