"""Judging context pairs: what other rooms import. The rules are in `trajectories.judging`."""

from trajectories.judging.limits import Finding, Rule, RuleLimits
from trajectories.judging.rules import RULES, RuleJudge

__all__ = ["RULES", "Finding", "Rule", "RuleJudge", "RuleLimits"]
