import sys
from pathlib import Path

import pytest

from sandbox.trees import python_folders


def test_an_interpreter_without_a_plain_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian has /usr/bin/python3 and no /usr/bin/python; `python` of a virtual environment must not mislead."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "bin" / "python"))
    tmp_path.chmod(0o755)
    assert python_folders(None, 0)[0] == tmp_path / "bin" / "python3"
