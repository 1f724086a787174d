"""What a store is told of a run before it begins, so that its episodes can be read and replayed from the store alone.

Invariant: it depends on the run's policy and tasks only; a run that goes on says the same again, nothing is doubled.
"""

from __future__ import annotations

import json
from typing import Any

from agents.policy import Policy
from contextrl.world import World
from envs.task import RepoProfile, TaskInstance
from trajectories.store import SQLStore


def introduce(store: SQLStore, run: str, policy: Policy, world: World) -> None:
    """Keep the run's tasks, with their repositories' profiles, and its tokenizer."""
    tasks = [t for ground in world.grounds for t in (*ground.train, *ground.heldout)]
    store.add_tasks(run, {t.instance_id: task_document(t, world.profiles.get(t.profile)) for t in tasks})
    text = policy.tokenizer.backend_tokenizer.to_str()
    known = store.findings("tokenizer", run, limit=1)
    if not known or known[0].document["tokenizer_json"] != text:
        store.add_finding("tokenizer", run, {"tokenizer_json": text})


def task_document(task: TaskInstance, profile: RepoProfile | None) -> dict[str, Any]:
    """A task as a store keeps it: its fields, and `profile_document` where there is a profile.

    Without what a profile knows of sources and coverage: it is as large as the repository and of no use to an episode.
    """
    document: dict[str, Any] = json.loads(task.model_dump_json())
    if profile is not None:
        document["profile_document"] = json.loads(profile.model_dump_json(exclude={"covers", "source_files"}))
    return document
