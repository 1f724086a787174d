"""Generated repositories: small real Python packages with documents and tests, made from a seed.

Invariant: the same seed and size give the same files, byte for byte; what a function should do stands only in
`docs/`, never in its source, so that a policy that does not read cannot know.
"""

from envs.generated.repository import make_repository
from envs.generated.variants import candidates

__all__ = ["candidates", "make_repository"]
