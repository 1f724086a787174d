"""Attacks, by what they are after: each case is a real attempt, and asserts that it failed and harmed nobody else."""
