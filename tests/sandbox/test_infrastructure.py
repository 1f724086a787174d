"""What is not the fault of what runs in a sandbox is a `SandboxError`, or no error at all."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from sandbox import Image, Limits, LocalBackend, SandboxError, engine_api, lease
from sandbox.engine_api import Engine


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 200 OK\r\n\r\n{]}"]
)
async def test_an_engine_that_breaks_off_is_a_sandbox_error(tmp_path: Path, said: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "engine"):
        with pytest.raises(SandboxError, match="broke off GET /version"):
            await Engine(f"{tmp_path}/engine").json("GET", "/version")


async def test_an_engine_that_says_nothing_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    monkeypatch.setattr(engine_api, "_PATIENCE_S", 0.2)
    async with await asyncio.start_unix_server(serve, tmp_path / "engine"):
        with pytest.raises(SandboxError, match="did not answer GET /version"):
            await Engine(f"{tmp_path}/engine").json("GET", "/version")


async def test_a_loop_that_stands_still_breaks_no_sandbox(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.client.GRACE_S", 0.3)
    local = LocalBackend()
    async with lease(local, image) as box:
        call = asyncio.create_task(box.run("sleep 0.2; echo done", timeout_s=0.5))
        await asyncio.sleep(0.05)
        time.sleep(2)  # noqa: ASYNC251
        assert (await call).stdout == "done\n"
        assert (await box.run("echo on")).stdout == "on\n"
    await local.close()


@pytest.mark.parametrize("wrong", [{"memory_mb": 0}, {"pids": -1}, {"cpus": float("nan")}, {"lease_s": float("inf")}])
def test_limits_that_would_mean_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"the limit {next(iter(wrong))} is"):
        Limits(**wrong)  # type: ignore[arg-type]


async def test_what_cannot_be_sent_leaves_the_sandbox_as_it_is(image: Image) -> None:
    local = LocalBackend()
    async with lease(local, image) as box:
        with pytest.raises(TypeError):
            await box.run(["echo", 1])  # type: ignore[list-item]
        with pytest.raises(TypeError):
            await box.read(Path("x"))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="timeout_s"):
            await box.run("true", timeout_s=float("nan"))
        assert (await box.run("pwd", cwd=Path("/tmp"))).stdout == "/tmp\n"  # type: ignore[arg-type]
    await local.close()
