"""What a policy or a repository wrote is text, whatever it is: on every page, and in what is exported."""

import re
from html.parser import HTMLParser

import hostile_store
import pytest
from hostile_store import EVIL, MARK
from starlette.testclient import TestClient

from trajectories.viewer.app import make_app
from trajectories.viewer.export import export, find
from trajectories.viewer.opening import Source

OURS = {
    "!doctype", "a", "article", "b", "body", "br", "button", "circle", "code", "dd", "details", "dialog", "div", "dl",
    "dt", "figcaption", "figure", "form", "g", "h1", "h2", "h3", "h4", "head", "header", "html", "i", "input", "kbd",
    "label", "line", "link", "main", "mark", "meta", "nav", "noscript", "option", "p", "polyline", "pre", "rect",
    "script", "section", "select", "span", "style", "summary", "svg", "table", "tbody", "td", "text", "th", "thead",
    "title", "tr",
}  # fmt: skip
"""Elements that the viewer makes."""
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


class Structure(HTMLParser):
    """What a page is made of."""

    def __init__(self):
        super().__init__()
        self.found, self.scripts = [], 0

    def handle_starttag(self, tag, attributes):
        assert tag in OURS, tag
        for name, value in attributes:
            assert not name.startswith("on") and name != "style", (tag, name)
            assert not re.match(r"\s*(javascript|data|vbscript):(?!,$)", value or ""), (tag, name, value)
        self.scripts += tag == "script"


def structure(text):
    parser = Structure()
    parser.feed(text)
    return parser


@pytest.fixture
def pages(place):
    return hostile_store.fill(place)


def test_every_page_is_made_of_the_viewers_own_elements(pages, client):
    shown = ""
    for path in pages:
        answer = client.get(path)
        assert answer.status_code in (200, 404), path
        if answer.headers["Content-Type"].startswith("text/html"):
            assert structure(answer.text).scripts == (0 if path.startswith(("/text", "/tokens")) else 1), path
        assert not HIDDEN.search(answer.text), path
        shown += answer.text
    for sign in ("&lt;script&gt;", "{{7*7}}", "\u27e8U+202E\u27e9", "\u2407"):  # the last two: an override, a bell
        assert shown.count(sign) > 50, sign


@pytest.mark.parametrize("strict", [True, False])
def test_no_script_of_theirs_runs_in_a_browser(pages, serve, place, open_page, strict):
    """Also where the browser would let it run: escaping alone is enough."""
    url = serve(place)
    page = open_page(bypass_csp=not strict)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for path in pages:
        page.goto(url.rstrip("/") + path)
        page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
        page.evaluate("for (const button of document.querySelectorAll('button[data-load]')) button.click()")
        while page.evaluate("!!document.querySelector('button[data-load]:disabled')"):
            page.wait_for_timeout(10)
        assert page.evaluate(f"window.{MARK}") is None, path
        assert page.title().endswith("· ContextRL") or path.startswith(("/text", "/tokens"))
    assert all(one.startswith((url, "data:,")) for one in asked)
    page.problems[:] = [p for p in page.problems if "404" not in p]  # pages that are not there are among them


@pytest.mark.parametrize("kind", ["trajectory", "group", "run"])
def test_no_script_of_theirs_runs_in_an_exported_file(pages, place, open_page, tmp_path, kind):
    source = Source(place)
    name = {"trajectory": f"0{EVIL}"}.get(kind, EVIL)
    text = export(source, find(source, name, kind))
    source.close()
    assert structure(text).scripts == 0 and not HIDDEN.search(text) and "&lt;script&gt;" in text
    assert kind != "run" or all(f"<h2>{head}</h2>" in text for head in ("Groups", "Pairs", "Trajectories"))
    file = tmp_path / "out.html"
    for policy in (text, re.sub(r"<meta http-equiv=[^>]*>", "", text)):
        file.write_text(policy)
        page = open_page(offline=True)
        page.goto(file.as_uri())
        assert page.evaluate(f"window.{MARK}") is None
        assert page.locator("h1").is_visible()


def test_a_search_for_an_attack_is_shown_as_it_was_typed(pages, place):
    client = TestClient(make_app(place), base_url="http://localhost")
    text = client.get("/trajectories", params={"agent": '"><script>x</script>'}).text
    assert 'value="&#34;&gt;&lt;script&gt;x&lt;/script&gt;"' in text
