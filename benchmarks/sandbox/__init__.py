"""Our sandboxes beside those of others, in one run: `python -m benchmarks.sandbox`."""
