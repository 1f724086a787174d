"""All attacks, in the order of their numbers."""

from __future__ import annotations

from benchmarks.attacks import agent, files, source
from benchmarks.attacks.case import Action, Attack, Leak

ATTACKS: tuple[Attack, ...] = tuple(sorted((*files.attacks(), *source.attacks()), key=lambda attack: attack.number))
LEAKS: tuple[Leak, ...] = tuple(agent.leaks())
ACTIONS: tuple[Action, ...] = tuple(agent.actions())
