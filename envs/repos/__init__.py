"""Repositories: any package becomes a `RepoProfile`, once.

Invariant: what is known of a repository was measured by running its tests in sandboxes with the network closed.
"""

from envs.repos.add import add_repository
from envs.repos.check import Finding, check_repository
from envs.repos.learned import Learned, learned
from envs.repos.source import RepoError, parse_source
from envs.repos.store import list_profiles, load_profile

__all__ = [
    "Finding",
    "Learned",
    "RepoError",
    "add_repository",
    "check_repository",
    "learned",
    "list_profiles",
    "load_profile",
    "parse_source",
]
