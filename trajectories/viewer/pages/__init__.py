"""What there is to look at, by path."""

from __future__ import annotations

from collections.abc import Mapping

from trajectories.viewer.page import Maker
from trajectories.viewer.pages.comparison import compare
from trajectories.viewer.pages.fragments import text, tokens
from trajectories.viewer.pages.groups import group, groups
from trajectories.viewer.pages.mining import audit, funnel
from trajectories.viewer.pages.pairs import pair, pairs
from trajectories.viewer.pages.runs import run, runs
from trajectories.viewer.pages.trajectories import trajectories
from trajectories.viewer.pages.trajectory import trajectory

PAGES: Mapping[str, Maker] = {
    "/": runs,
    "/run": run,
    "/trajectories": trajectories,
    "/trajectory": trajectory,
    "/groups": groups,
    "/group": group,
    "/pairs": pairs,
    "/pair": pair,
    "/funnel": funnel,
    "/audit": audit,
    "/compare": compare,
}
FRAGMENTS: Mapping[str, Maker] = {"/text": text, "/tokens": tokens}
"""Parts that a page fetches when they are asked for."""
