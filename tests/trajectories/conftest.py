"""A PostgreSQL server for the tests of this room, in a container that each test process has for itself."""

import asyncio
import os
import subprocess
import time
import uuid
from pathlib import Path

import psycopg
import pytest

from sandbox.base_image import default_base
from sandbox.engine_api import Engine, engine_socket
from trajectories.store import SQLStore

DOCKER = Path(__file__).parents[2] / "docker"


@pytest.fixture(scope="session")
def server():
    """The URL of a server, without a database."""
    image = os.environ.get("POSTGRES_IMAGE") or build_image()
    name = f"contextrl-test-postgres-{uuid.uuid4().hex[:12]}"
    durable_is_slow = ("-c", "fsync=off")
    start = ["run", "--detach", "--rm", "--name", name, "--publish", "127.0.0.1::5432", "--tmpfs", "/tmp"]
    docker(*start, "--env", "POSTGRES_PASSWORD=se:cr/et", image, "postgres", *durable_is_slow)
    try:
        port = docker("port", name, "5432").rpartition(":")[2]
        url = f"postgresql://postgres:se%3Acr%2Fet@127.0.0.1:{port}"
        wait_for(url, name)
        yield url
    finally:
        docker("rm", "--force", "--volumes", name)


@pytest.fixture
def database(server):
    """The URL of an empty database."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        yield f"{server}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new folder" / "store.db"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.docker)])
def store(request):
    with SQLStore(request.getfixturevalue("path" if request.param == "sqlite" else "database")) as opened:
        yield opened


def docker(*words):
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def build_image():
    base = asyncio.run(default_base(Engine(engine_socket())))
    recipe = str(DOCKER / "postgres.Dockerfile")
    name = "contextrl-postgres:17"
    docker(
        "build", "--network", "host", "--build-arg", f"BASE_IMAGE={base}", "--tag", name, "--file", recipe, str(DOCKER)
    )
    return name


def wait_for(url, container):
    deadline = time.monotonic() + 60
    while True:
        try:
            return psycopg.connect(f"{url}/postgres", connect_timeout=5).close()
        except psycopg.OperationalError as error:
            assert time.monotonic() < deadline, f"{error}\n{docker('logs', container)}"
            time.sleep(0.1)
