"""Rows as a run of MLflow.

Invariant: a run has one id there, kept in its folder as soon as it is known; a parameter of the recipe is written once.
Rows that an interrupted run goes through again are added at the steps that they had.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from logging import WARNING, getLogger
from typing import TYPE_CHECKING, Any

from contextrl.logging.sinks import leaves

if TYPE_CHECKING:
    from contextrl.checkpoint import RunFolder

KEPT = "mlflow"
"""File of the run's folder."""
AT_ONCE = 100
"""Most parameters that a server takes in one request."""
LONGEST = 500
"""Characters of a parameter's value that every server keeps."""


class MLflow:
    """One run."""

    def __init__(self, folder: RunFolder, name: str, uri: str, experiment: str, recipe: Mapping[str, Any]) -> None:
        """`uri`: of the tracking server or its database."""
        from mlflow.tracking import MlflowClient

        getLogger("mlflow").setLevel(WARNING)  # what it has to say of its database is no progress of a run
        self._client = MlflowClient(uri)
        kept = folder.read(KEPT)
        if kept is None:
            found = self._client.get_experiment_by_name(experiment)
            place = found.experiment_id if found else self._client.create_experiment(experiment)
            folder.write(KEPT, kept := {"run": self._client.create_run(place, run_name=name).info.run_id})
        self._run: str = kept["run"]
        self._client.update_run(self._run, status="RUNNING")
        self._tell(recipe)

    def _tell(self, recipe: Mapping[str, Any]) -> None:
        """What the run is told, those parameters that are not there yet."""
        from mlflow.entities import Param

        there = self._client.get_run(self._run).data.params
        new = [Param(key, str(value)[:LONGEST]) for key, value in leaves(recipe) if key not in there]
        for start in range(0, len(new), AT_ONCE):
            self._client.log_batch(self._run, params=new[start : start + AT_ONCE])

    def row(self, iteration: int, values: Mapping[str, float]) -> None:
        """One request."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self._run, metrics=[Metric(k, v, now, iteration) for k, v in values.items()])

    def close(self) -> None:
        """Say that the run is over."""
        self._client.set_terminated(self._run)
