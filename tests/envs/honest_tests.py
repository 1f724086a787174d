"""Tests of honest repositories, as they are written: each has one that `total` breaks, and others.

Name -> files over those of `honest_repository`; every one of them is a way of testing that a guarded run must bear.
"""

PLAIN = """
from shop.money import total
"""
CASES: dict[str, dict[str, str]] = {
    "parametrized, with odd names": {
        "tests/test_money.py": PLAIN
        + """
import pytest
@pytest.mark.parametrize("tax", [0, 4, -1], ids=["a b", "x::y[é]", "\\t'\\"\\\\"])
def test_total(tax):
    assert total([1, 2], tax) == 3 + tax
"""
    },
    "fixtures of classes and modules": {
        "tests/test_money.py": PLAIN
        + """
import pytest
@pytest.fixture(scope="module", params=[0, 4])
def tax(request):
    return request.param
@pytest.fixture(scope="class")
def prices():
    return []
class TestMoney:
    seen = []
    @pytest.fixture(autouse=True)
    def begin(self, prices, request):
        assert not hasattr(self, "mine")
        self.mine = request.node.name
        prices[:] = [1, 2]
        yield
        del self.mine
    def test_total(self, prices, tax):
        assert total(prices, tax) == 3 + tax
    def test_again(self, prices):
        assert prices == [1, 2] and self.mine == "test_again"
class TestInherited(TestMoney):
    pass
"""
    },
    "asynchronous": {
        "pytest.ini": "[pytest]\nasyncio_mode = auto\n",
        "tests/test_money.py": PLAIN
        + """
import pytest, unittest
@pytest.fixture
async def tax():
    yield 4
async def test_total(tax):
    assert total([1], tax) == 5
async def test_nothing():
    assert total([], 0) == 0
class Money(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.tax = 4
    async def test_total(self):
        self.assertEqual(total([1], self.tax), 5)
    async def test_nothing(self):
        self.assertEqual(total([], 0), 0)
""",
    },
    "anyio": {
        "tests/test_money.py": PLAIN
        + """
import pytest
@pytest.fixture
def anyio_backend():
    return "asyncio"
@pytest.mark.anyio
async def test_total():
    assert total([1], 4) == 5
def test_nothing():
    assert total([], 0) == 0
"""
    },
    "subtests": {
        "tests/test_money.py": PLAIN
        + """
import unittest
def test_total(subtests):
    for tax in (0, 4):
        with subtests.test(tax=tax):
            assert total([], tax) == tax
def test_nothing():
    assert total([], 0) == 0
class Money(unittest.TestCase):
    def test_total(self):
        for tax in (0, 4):
            with self.subTest(tax=tax):
                self.assertEqual(total([], tax), tax)
    def test_nothing(self):
        with self.subTest("nothing"):
            self.assertEqual(total([], 0), 0)
"""
    },
    "examples in documents": {
        "pytest.ini": "[pytest]\naddopts = --doctest-modules --doctest-glob=*.rst\n",
        "tests/test_money.py": '''
"""
>>> from shop.money import total
>>> total([1], 4)
5
"""
from shop.money import total
def test_total():
    """
    >>> total([1], 0)
    1
    """
    assert total([1], 4) == 5
''',
    },
    "skips and expected failures": {
        "tests/test_money.py": PLAIN
        + """
import pytest, unittest
@pytest.mark.skipif(False, reason="never")
def test_total():
    assert total([1], 4) == 5
@pytest.mark.xfail
def test_fails():
    assert total([1], 0) == 5
@pytest.mark.xfail(reason="on some machines")
def test_passes_nevertheless():
    assert total([1], 0) == 1
@pytest.mark.xfail(reason="on some machines")
def test_repaired_nevertheless():
    assert total([1], 4) == 5
def test_gives_up():
    pytest.xfail("later")
def test_skips():
    pytest.importorskip("no_such_module")
class Money(unittest.TestCase):
    @unittest.expectedFailure
    def test_expected(self):
        self.assertEqual(total([1], 0), 5)
    @unittest.skipUnless(True, "always")
    def test_other(self):
        self.assertEqual(total([1], 0), 1)
"""
    },
    "unittest under pytest": {
        "tests/test_money.py": PLAIN
        + """
import unittest
class Base:
    @classmethod
    def setUpClass(cls):
        cls.opened = getattr(cls, "opened", 0) + 1
        assert cls.opened == 1
    @classmethod
    def tearDownClass(cls):
        del cls.opened
    def setUp(self):
        self.addCleanup(setattr, self, "gone", True)
        self.prices = [1]
    def test_total(self):
        self.prices.append(2)
        self.assertEqual(total(self.prices, 4), 7)
    def test_zero(self):
        self.assertEqual(total(self.prices, 0), 1)
class One(Base, unittest.TestCase): pass
class Two(Base, unittest.TestCase): pass
"""
    },
    "tests that are counted": {
        "tests/test_money.py": PLAIN
        + """
ran = []
def test_first():
    ran.append("first")
    assert ran == ["first"]
def test_total():
    ran.append("total")
    assert ran == ["first", "total"] and total([1], 4) == 5
def test_last():
    assert ran == ["first", "total"]
"""
    },
    "what pytest lends": {
        "tests/test_money.py": PLAIN
        + """
import logging, os, sys, warnings
def test_total(request, caplog, capsys, monkeypatch, tmp_path, recwarn, record_property):
    logging.getLogger().warning("hear")
    print("said")
    record_property("a", 1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.divmod", lambda _: 3)
    assert caplog.messages == ["hear"] and capsys.readouterr().out == "said\\n"
    assert request.node.name == "test_total" and divmod([]) == 3 and list(tmp_path.iterdir()) == []
    assert total([1], 4) == 5
def test_other(capfd, tmp_path_factory, pytestconfig):
    os.write(1, b"said")
    assert capfd.readouterr().out == "said" and tmp_path_factory.mktemp("a").is_dir()
"""
    },
    "properties": {
        "tests/test_money.py": PLAIN
        + """
import asyncio
import pytest
from hypothesis import given, strategies as st
@given(st.lists(st.integers()), st.integers())
def test_total(prices, tax):
    assert total(prices, tax) == sum(prices) + tax
@given(st.integers())
@pytest.mark.asyncio
async def test_one(price):
    assert total([price], 0) == price
class TestMoney:
    @given(tax=st.integers())
    def test_tax(self, tax):
        assert total([], tax) == tax
"""
    },
    "warnings are errors": {
        "pytest.ini": "[pytest]\nfilterwarnings = error\naddopts = --strict-markers -W error\n"
        "asyncio_default_fixture_loop_scope = function\n",
        "tests/test_money.py": PLAIN
        + """
def test_total():
    assert total([1], 4) == 5
def test_nothing():
    assert total([], 0) == 0
async def test_one():
    assert total([], 0) == 0
""",
    },
    "spread over processes": {
        "pytest.ini": "[pytest]\naddopts = -n 2 --exitfirst\n",
        "tests/test_money.py": PLAIN
        + """
def test_total():
    assert total([1], 4) == 5
def test_nothing():
    assert total([], 0) == 0
""",
    },
    "a conftest that sorts and leaves out": {
        "conftest.py": """
import pytest
collect_ignore = ["setup.py"]
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: item.name, reverse=True)
    gone = [item for item in items if "slow" in item.keywords]
    config.hook.pytest_deselected(items=gone)
    items[:] = [item for item in items if item not in gone]
def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long")
@pytest.fixture(autouse=True)
def everywhere(monkeypatch):
    monkeypatch.setenv("TAX", "4")
""",
        "tests/test_money.py": PLAIN
        + """
import os, pytest
def test_total():
    assert total([1], int(os.environ["TAX"])) == 5
def test_nothing():
    assert total([], 0) == 0
@pytest.mark.slow
def test_slow():
    assert total([1], 0) == 1
""",
    },
    "a conftest that leaves each name once, in its own order": {
        "conftest.py": """
import pytest, random
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    once = {item.nodeid: item for item in items}
    items[:] = list(once.values())
    random.shuffle(items)
""",
        "tests/test_money.py": PLAIN
        + """
def test_total():
    assert total([1], 4) == 5
def test_nothing():
    assert total([], 0) == 0
""",
    },
    "steps that need the one before": {
        "conftest.py": """
import pytest
def pytest_runtest_makereport(item, call):
    if "incremental" in item.keywords and call.excinfo is not None:
        item.parent._failed = item
def pytest_runtest_setup(item):
    if "incremental" in item.keywords and getattr(item.parent, "_failed", None) is not None:
        pytest.xfail("the one before failed")
""",
        "tests/test_money.py": PLAIN
        + """
import pytest
@pytest.mark.incremental
class TestSteps:
    def test_nothing(self):
        assert total([], 0) == 0
    def test_total(self):
        assert total([1], 4) == 5
    def test_more(self):
        assert total([1], 5) == 6
""",
    },
    "a runner that is the repository's": {
        "conftest.py": """
import unittest, _pytest.assertion.util
unittest.TestCase.shortDescription = lambda self: None
unittest.TestCase.assertItemsEqual = unittest.TestCase.assertCountEqual
unittest.TestCase.maxDiff = None
""",
        "tests/test_money.py": PLAIN
        + """
import unittest
class Money(unittest.TestCase):
    def test_total(self):
        self.assertItemsEqual([total([1], 4)], [5])
    def test_nothing(self):
        self.assertEqual(total([], 0), 0)
""",
    },
    "a set-up that runs once": {
        "tests/test_money.py": PLAIN
        + """
import pytest
registered = set()
@pytest.fixture
def registry(request):
    assert request.node.name not in registered
    registered.add(request.node.name)
def test_total(registry):
    assert total([1], 4) == 5
def test_nothing(registry):
    assert total([], 0) == 0
"""
    },
    "processes, threads, signals": {
        "tests/test_money.py": PLAIN
        + """
import atexit, multiprocessing, os, signal, subprocess, sys, threading, faulthandler, pytest
from concurrent.futures import ProcessPoolExecutor
def work(queue):
    queue.put(total([1], 4))
def test_total():
    queue = multiprocessing.Queue()
    process = multiprocessing.Process(target=work, args=(queue,))
    process.start()
    assert queue.get(timeout=10) == 5
    process.join()
    with ProcessPoolExecutor(2) as pool:
        assert list(pool.map(abs, [-1, 2])) == [1, 2]
def test_fork():
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
def test_threads():
    found = []
    threads = [threading.Thread(target=lambda: found.append(total([], 0))) for _ in range(9)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert found == [0] * 9
    threading.Thread(target=threading.Event().wait, daemon=True).start()
def test_signals():
    heard = []
    old = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    signal.pause()
    signal.signal(signal.SIGALRM, old)
    assert heard == [1]
def test_programs():
    code = "from shop.money import total; print(total([1], 4)); raise SystemExit(3)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (3, "5\\n")
    atexit.register(print, "bye")
    faulthandler.enable()
def test_exit():
    with pytest.raises(SystemExit):
        sys.exit(3)
    subprocess.Popen(["sleep", "60"], start_new_session=True)
"""
    },
    "another folder": {
        "tests/test_money.py": PLAIN
        + """
import os, sys, tempfile
def test_away():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
    sys.path.insert(0, "/nowhere")
    assert total([1], 0) == 1
def test_total():
    assert total([1], 4) == 5
def test_zero():
    assert total([1], 0) == 1
"""
    },
}
UNITTEST: dict[str, dict[str, str]] = {
    "cases with arguments": {
        "tests/test_money.py": PLAIN
        + """
import unittest
class Money(unittest.TestCase):
    def __init__(self, method, tax=9):
        super().__init__(method)
        self.tax = tax
    def id(self):
        return f"{super().id()}({self.tax})"
    def runTest(self):
        self.assertEqual(total([1], self.tax), 1 + self.tax)
def check():
    assert total([1], 4) == 5
def load_tests(loader, tests, pattern):
    functions = [unittest.FunctionTestCase(check)]
    return unittest.TestSuite([Money("runTest", tax) for tax in (0, 1, 4)] + functions)
"""
    },
    "classes, modules, coroutines": {
        "tests/test_money.py": PLAIN
        + """
import os, unittest
opened = []
def setUpModule():
    opened.append(1)
def tearDownModule():
    opened.clear()
class Money(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(opened.clear)
        opened.append(2)
    def setUp(self):
        self.addCleanup(opened.pop)
        opened.append(3)
        self.assertEqual(opened, [1, 2, 3])
    def test_total(self):
        for tax in (0, 4):
            with self.subTest(tax=tax):
                self.assertEqual(total([1], tax), 1 + tax)
    def test_zero(self):
        self.assertEqual(total([1], 0), 1)
    @unittest.expectedFailure
    def test_no(self):
        self.assertEqual(total([1], 0), 2)
class Later(unittest.IsolatedAsyncioTestCase):
    async def test_total(self):
        self.assertEqual(total([1], 4), 5)
    async def test_zero(self):
        self.assertEqual(total([1], 0), 1)
"""
    },
    "a runner that is the repository's": {
        "tests/__init__.py": """
import unittest
unittest.TestCase.shortDescription = lambda self: None
""",
        "tests/test_money.py": PLAIN
        + """
import unittest
class Money(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1], 4), 5)
    def test_zero(self):
        self.assertEqual(total([1], 0), 1)
""",
    },
}
