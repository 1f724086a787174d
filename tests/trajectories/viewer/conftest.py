"""What the viewer's tests share: a store of the demo, a client, and a headless browser.

Tests that need the browser run where Debian's chromium is, and always in CI; elsewhere they are left out, and it is
said.
"""

import os
import shutil
from contextlib import ExitStack

import demo_store
import pytest
from playwright.sync_api import sync_playwright
from starlette.testclient import TestClient

from trajectories.store import SQLStore
from trajectories.viewer.app import make_app
from trajectories.viewer.serving import Viewer

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HERE = os.path.dirname(__file__)


def pytest_collection_modifyitems(config, items):
    if CHROMIUM or os.environ.get("CI"):
        return
    mine = [i for i in items if str(i.path).startswith(HERE) and "browser" in getattr(i, "fixturenames", ())]
    items[:] = [item for item in items if item not in mine]
    config.hook.pytest_deselected(items=mine)


def pytest_terminal_summary(terminalreporter):
    if not CHROMIUM and not os.environ.get("CI"):
        terminalreporter.write_line(
            "no chromium is here: the viewer's tests in a browser were left out (CI=1 makes them run; "
            "scripts/install_browser.sh installs it)",
            yellow=True,
        )


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "store.db")


@pytest.fixture
def store(place):
    with SQLStore(place) as opened:
        yield opened


@pytest.fixture
def client(place):
    """Asks a viewer of the store at `place`."""
    return TestClient(make_app(place), base_url="http://localhost", follow_redirects=False)


@pytest.fixture(scope="session")
def demo_file(tmp_path_factory):
    """The demo, made once and read only."""
    path = str(tmp_path_factory.mktemp("demo") / "demo.db")
    demo_store.fill(path).close()
    return path


@pytest.fixture
def demo(demo_file):
    with SQLStore(demo_file, create=False) as opened:
        yield opened


@pytest.fixture
def shown(demo_file):
    """Asks a viewer of the demo for a page that must be there."""
    client = TestClient(make_app(demo_file), base_url="http://localhost")

    def get(path):
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    return get


@pytest.fixture
def serve():
    """Makes viewers that listen on a port, and ends them. Gives the address."""
    with ExitStack() as running:
        yield lambda path: running.enter_context(Viewer(str(path), port=0)).url


# One browser for each file of tests: while it runs, this thread has an event loop, which other tests make themselves.
@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser):
    """Opens pages whose every complaint fails the test: errors of scripts, and what the page's policy refused."""
    contexts, problems = [], []

    def make(**options):
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", **options}
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.problems = problems
        page.set_default_timeout(10_000)
        return page

    yield make
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(open_page):
    return open_page()
