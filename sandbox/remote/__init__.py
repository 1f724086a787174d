"""Sandboxes of other machines, through their sandbox services."""

from sandbox.remote.backend import RemoteBackend

__all__ = ["RemoteBackend"]
