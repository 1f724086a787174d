"""Re-executes what a trajectory recorded, in a fresh sandbox, and says where that came out otherwise.

Invariant: nothing else in this room imports this package: it alone needs `envs` and `sandbox`.
"""
