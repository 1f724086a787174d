"""What holds for all tests.

Tests marked `docker` run where an engine answers, and always in CI; elsewhere they are left out, and it is said. Every
process of a parallel run has a home folder of its own, so that one does not see the sandboxes of another. Ctrl-C
reaches the programs under test however the tests were started.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile

import pytest

DECISION = "CONTEXTRL_TEST_DOCKER"


def _engine_answers() -> bool:
    try:
        probe = subprocess.run(["docker", "version"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def pytest_configure(config: pytest.Config) -> None:
    # A shell that starts something in the background has it ignore Ctrl-C, and programs inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    # Decided once, by the first process; the workers of a parallel run inherit it.
    if DECISION not in os.environ:
        os.environ[DECISION] = "1" if os.environ.get("CI") or _engine_answers() else "0"

    home = tempfile.mkdtemp(prefix="contextrl-test-home-")
    os.chmod(home, 0o755)  # some tests run as another user
    os.environ["CONTEXTRL_HOME"] = home
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ[DECISION] == "1":
        return
    left_out = [item for item in items if item.get_closest_marker("docker")]
    items[:] = [item for item in items if not item.get_closest_marker("docker")]
    config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ[DECISION] == "0":
        terminalreporter.write_line(
            "no Docker engine answers here: the tests marked `docker` were left out (CI=1 makes them run)",
            yellow=True,
        )
