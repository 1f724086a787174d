"""The sandbox service: sandboxes of this machine for clients on others (see `sandbox.remote` and docs/sandbox.md)."""
