"""Verdicts on patches."""
