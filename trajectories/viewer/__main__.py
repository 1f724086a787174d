"""The command line of the viewer alone: `python -m trajectories.viewer`, with little else installed."""

from __future__ import annotations

import argparse
import os
import sys

from trajectories.viewer.serving import PORT, serve


def main() -> None:
    """Read `--host`, `--port`, `--store` and serve."""
    parser = argparse.ArgumentParser(prog="python -m trajectories.viewer", description="Show a store as web pages.")
    parser.add_argument("--store", default=os.environ.get("CONTEXTRL_STORE", "runs/trajectories.db"))
    parser.add_argument("--host", default="127.0.0.1", help="beyond loopback only with a token (default %(default)s)")
    parser.add_argument("--port", type=int, default=PORT)
    given = parser.parse_args()
    try:
        serve(given.store, given.host, given.port)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
