"""The `contextrl` command, also as `python -m contextrl`.

Invariant: Ctrl-C is told in one line and ends with 130 from the first moment on. So nothing of ours is imported before
somebody listens for it.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line (`contextrl.cli`), which tells everything else by itself."""
    try:
        from contextrl.cli import main as run

        run()
    except KeyboardInterrupt:  # while it was imported or put together: later the command line hears it
        sys.stderr.write("\nStopped.\n")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
