"""What is wrong with what was asked, and what is wrong with the viewer: told apart, and neither ever hidden."""

import importlib
import time

from trajectory_builders import trajectory

from trajectories.viewer.ansi import Style, changed


def test_an_episode_that_died_before_its_first_turn_can_be_seen(store, client):
    store.add(trajectory(turns=[], patch="", status="infra_error", verdict=None, reward=None))
    answer = client.get("/trajectory?id=i1-0")
    assert answer.status_code == 200 and "infra_error" in answer.text


def test_a_fault_of_the_viewer_is_not_called_a_mistake_of_who_asks(store, client, monkeypatch, caplog):
    store.add(trajectory())

    def broken(*_):
        raise ValueError("zip() argument 2 is longer than argument 1")

    page = importlib.import_module("trajectories.viewer.pages.trajectory")  # its function has the same name
    monkeypatch.setattr(page, "timeline", broken)
    answer = client.get("/trajectory?id=i1-0")
    assert answer.status_code == 500 and "zip()" not in answer.text
    assert "This is a fault of the viewer" in answer.text
    assert [record.exc_info[1].args[0][:5] for record in caplog.records if record.exc_info] == ["zip()"]
    assert client.get("/trajectory?id=none").status_code == 404


def test_a_fault_in_a_part_of_a_page_is_told(store, client, monkeypatch):
    store.add(trajectory())
    monkeypatch.setattr("trajectories.viewer.pages.fragments.formed", lambda *_: 1 // 0)
    answer = client.get("/text?id=i1-0&turn=1&part=observation")
    assert answer.status_code == 500 and answer.text.startswith("This is a fault of the viewer")


def test_more_of_a_text_of_any_length_can_be_asked_for(store, client):
    store.add(trajectory(problem_statement="q" * 10_500_000))
    answer = client.get("/text?id=i1-0&part=statement&start=10450000&end=10500000")
    assert answer.status_code == 200 and answer.text.count("q") == 50_000


def test_one_sequence_of_a_million_numbers_does_not_stop_a_page():
    bold = changed(Style(), "1")
    started = time.perf_counter()
    assert changed(bold, "4;" * 200_000) == bold
    assert time.perf_counter() - started < 0.1
    assert changed(bold, "0;" * 60 + "4") == Style(flags=frozenset({"under"}))
