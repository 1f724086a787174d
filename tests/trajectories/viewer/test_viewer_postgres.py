"""The viewer over a PostgreSQL store: every page, and a server that goes away."""

import demo_store
import psycopg
import pytest
from starlette.testclient import TestClient

from trajectories.viewer.app import make_app
from trajectories.viewer.asking import address

pytestmark = pytest.mark.docker


@pytest.fixture
def client(database):
    return TestClient(make_app(database), base_url="http://localhost")


def test_every_page_is_there(database, client):
    with demo_store.fill(database) as store:
        found, pair = demo_store.first_of(store, "context-aware"), store.pairs(limit=1)[0]
    pages = {
        address("/", run=["context-aware", "grpo-only"]): "Selection accuracy",
        address("/run", name="context-aware", against="grpo-only"): "2 differences between",
        address("/trajectories", text="limit of 5", sort="reward", tampered="no", min_reward=1): "trajectories of 192",
        address(
            "/trajectory", id=found.id, list="run=context-aware&sort=created_at&order=up", at=0
        ): "diverged at step 4",
        address("/groups", rewards="differ", run="grpo-only"): "24 groups",
        address("/group", run=found.run, group=found.group): "first to differ",
        address("/pairs", judgement="valid", sort="similarity", order="up"): f"p-{pair.id}",
        address("/pair", id=pair.id): "9 of 9 rules",
        address("/funnel", name="context-aware"): "commit",
        address("/audit", name="context-aware"): "issue only",
        address("/compare", run=["context-aware", "grpo-only"]): "ca_weight",
        address("/tokens", id=found.id, turn=1, by="mismatch"): "think",
    }
    for path, said in pages.items():
        answer = client.get(path)
        assert answer.status_code == 200 and said in answer.text, path


def test_a_database_that_goes_away_is_told_without_its_password(database, client, server):
    demo_store.fill(database).close()
    assert client.get("/pulse").json()["problem"] == ""
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        name = database.rpartition("/")[2]
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        connection.execute(f"ALTER DATABASE {name} RENAME TO {name}_away")
        answer = client.get("/pulse")
        assert answer.status_code in (200, 503) and answer.json()["problem"] and "cr/et" not in answer.text
        assert "cr%2Fet" not in answer.text and client.get("/").status_code in (200, 503)
        connection.execute(f"ALTER DATABASE {name}_away RENAME TO {name}")
    assert client.get("/pulse").json()["problem"] == ""
    assert client.get("/").status_code == 200
