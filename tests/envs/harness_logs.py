"""Short test logs of our own in the forms that the official harness meets: what runs in an image and prints there."""

from dataclasses import dataclass

START, END = "+ : '>>>>> Start Test Output'", "+ : '>>>>> End Test Output'"
PREAMBLE = "+ source /opt/miniconda3/bin/activate\n++ _CONDA_ROOT=/opt/miniconda3\n+ cd /testbed\n"


def log_of(output, exit_code=None):
    """Harnesses of before 2026 do not tell the exit code."""
    told = "" if exit_code is None else f">>>>> Test Exit Code: {exit_code}\n"
    return f"{PREAMBLE}{START}\n{output}{END}\n{told}+ git checkout 0a1b2c tests/test_cart.py\n"


@dataclass(frozen=True)
class Case:
    """What a repository's tests print, and how each test of the task counts."""

    repo: str
    output: str
    exit_code: int
    passing: dict[str, tuple[str, ...]]
    failing: dict[str, tuple[str, ...]]

    @property
    def resolved(self):
        return not any(self.failing.values())

    def tests(self, kind):
        return (*self.passing.get(kind, ()), *self.failing.get(kind, ()))


F, P = "FAIL_TO_PASS", "PASS_TO_PASS"

PYTEST = """\
============================= test session starts ==============================
collected 6 items

tests/test_cart.py ...Fs.                                                [100%]

==================================== PASSES ====================================
_________________________________ test_prints __________________________________
----------------------------- Captured stdout call -----------------------------
PASSED [100%]
=========================== short test summary info ============================
PASSED tests/test_cart.py::test_total
PASSED tests/test_cart.py::test_sum[1-2]
PASSED tests/test_cart.py::TestCart::test_empty
PASSED tests/test_cart.py::test_prints
SKIPPED [1] tests/test_cart.py:9: needs a printer
XFAIL tests/test_cart.py::test_known - still open
FAILED tests/test_cart.py::test_tax - assert 3 == 4
=================== 1 failed, 4 passed, 1 skipped, 1 xfailed in 0.10s ==========
"""
DJANGO = """\
+ ./tests/runtests.py --verbosity 2 --settings=test_sqlite --parallel 1 shop.tests
Testing against Django installed in '/testbed/django'
Found 5 test(s).
System check identified no issues (0 silenced).
test_total (shop.tests.CartTests) ... ok
test_tax (shop.tests.CartTests)
Taxes are added once. ... ok
test_empty (shop.tests.CartTests) ... FAIL
test_stock (shop.tests.CartTests) ... skipped 'no stock'
test_crash (shop.tests.CartTests) ... ERROR

======================================================================
FAIL: test_empty (shop.tests.CartTests)
----------------------------------------------------------------------
AssertionError: 1 != 0

----------------------------------------------------------------------
Ran 5 tests in 0.012s

FAILED (failures=1, errors=1, skipped=1)
"""
SYMPY = """\
============================= test process starts ==============================
executable:         /opt/miniconda3/envs/testbed/bin/python  (3.9.20-final-0) [CPython]
random seed:        1234

sympy/shop/tests/test_cart.py[4]
test_total ok
test_tax F
test_known f
test_crash E                                                              [FAIL]

________________________________________________________________________________
__________________ sympy/shop/tests/test_cart.py:test_tax ______________________
Traceback (most recent call last):
AssertionError
== tests finished: 1 passed, 1 failed, 1 expected to fail, 1 exceptions, in 0.1 s ==
DO *NOT* COMMIT!
"""
SPHINX = """\
+ tox --current-env -epy39 -v -- tests/test_cart.py
py39: commands[0]> python -X dev -m pytest -rA --durations 25 tests/test_cart.py
\x1b[1m============================= test session starts ==============================\x1b[0m
collected 3 items
\x1b[36m\x1b[1m=========================== short test summary info ============================\x1b[0m
\x1b[32mPASSED\x1b[0m tests/test_cart.py::\x1b[1mtest_total\x1b[0m
\x1b[32mPASSED\x1b[0m tests/test_cart.py::\x1b[1mtest_tax\x1b[0m
\x1b[31mFAILED\x1b[0m tests/test_cart.py::\x1b[1mtest_empty\x1b[0m - assert 1 == 0
\x1b[31m========================= \x1b[31m\x1b[1m1 failed\x1b[0m, \x1b[32m2 passed\x1b[0m in 0.25s\x1b[0m ===
py39: exit 1 (0.88 seconds) /testbed> python -X dev -m pytest -rA --durations 25 tests/test_cart.py pid=81
"""
SEABORN = """\
============================= test session starts ==============================
collected 3 items

tests/test_cart.py ..F                                                   [100%]

=========================== short test summary info ============================
PASSED tests/test_cart.py::TestCart::test_total[long0]
PASSED tests/test_cart.py::TestCart::test_tax
FAILED tests/test_cart.py::TestCart::test_empty - AssertionError: 1 != 0
========================= 1 failed, 2 passed in 1.38s ==========================
"""
MATPLOTLIB = """\
============================= test session starts ==============================
collected 4 items
=========================== short test summary info ============================
PASSED lib/matplotlib/tests/test_cart.py::test_click[MouseButton.LEFT-total]
PASSED lib/matplotlib/tests/test_cart.py::test_total[png]
SKIPPED [10] lib/matplotlib/testing/compare.py:285: Don't know how to convert .svg files to png
FAILED lib/matplotlib/tests/test_cart.py::test_empty - assert 1 == 0
============= 1 failed, 2 passed, 10 skipped in 1.98s ==========================
"""
REQUESTS = """\
=========================== short test summary info ============================
PASSED test_cart.py::test_url[http://shop.example/]
PASSED test_cart.py::test_path[/testbed/data/cart.txt]
PASSED test_cart.py::test_total[a
=================== 3 passed in 0.10s ==========================================
"""

CASES = {
    "pytest, all well": Case(
        "pallets/flask",
        PYTEST,
        1,
        {
            F: ("tests/test_cart.py::test_total", "tests/test_cart.py::test_known"),
            P: ("tests/test_cart.py::test_sum[1-2]", "tests/test_cart.py::TestCart::test_empty"),
        },
        {},
    ),
    "pytest, one fails and one is not there": Case(
        "pydata/xarray",
        PYTEST,
        1,
        {F: ("tests/test_cart.py::test_total",), P: ("tests/test_cart.py::test_prints",)},
        {F: ("tests/test_cart.py::test_tax",), P: ("tests/test_cart.py::test_gone",)},
    ),
    "pytest, a progress mark that was taken for a test": Case(
        "pytest-dev/pytest", PYTEST, 1, {F: ("tests/test_cart.py::test_total",), P: ("[100%]",)}, {}
    ),
    "django": Case(
        "django/django",
        DJANGO,
        1,
        {
            F: ("test_total (shop.tests.CartTests)",),
            P: ("Taxes are added once.", "test_stock (shop.tests.CartTests)"),
        },
        {P: ("test_empty (shop.tests.CartTests)", "test_crash (shop.tests.CartTests)")},
    ),
    "sympy": Case("sympy/sympy", SYMPY, 1, {F: ("test_total",)}, {P: ("test_tax", "test_crash", "test_known")}),
    "sphinx under tox, in colour": Case(
        "sphinx-doc/sphinx",
        SPHINX,
        1,
        {F: ("tests/test_cart.py::test_total",), P: ("tests/test_cart.py::test_tax",)},
        {},
    ),
    "seaborn": Case(
        "mwaskom/seaborn",
        SEABORN,
        1,
        {F: ("tests/test_cart.py::TestCart::test_total[long0]",)},
        {P: ("tests/test_cart.py::TestCart::test_empty",)},
    ),
    "matplotlib": Case(
        "matplotlib/matplotlib",
        MATPLOTLIB,
        1,
        {
            F: ("lib/matplotlib/tests/test_cart.py::test_click[1-total]",),
            P: ("lib/matplotlib/tests/test_cart.py::test_total[png]",),
        },
        {},
    ),
    "requests, cut and shortened ids": Case(
        "psf/requests",
        REQUESTS,
        0,
        {
            F: ("test_cart.py::test_total[a", "test_cart.py::test_url[http://shop.example/]"),
            P: ("test_cart.py::test_path[/cart.txt]",),
        },
        {},
    ),
}

SMITH = """\
============================= test session starts ==============================
collecting ... collected 4 items

tests/test_cart.py::test_total PASSED                                    [ 25%]
tests/test_cart.py::test_tax {tax}                                      [ 50%]
tests/test_cart.py::test_known XFAIL (still open)                        [ 75%]
tests/test_cart.py::test_stock SKIPPED (no stock)                        [100%]
=========================== short test summary info ============================
"""
