"""How many spares pay."""

from __future__ import annotations

from sandbox.demand import Demand, FixedDemand


def demand(most: int = 32, step: int = 4) -> Demand:
    made = Demand(most, step, idle_s=100.0)
    made.refilled(0.5)
    return made


def test_it_follows_the_leases_that_are_asked_for_while_one_refill_takes():
    one = demand()
    one.ask(0.0, found=False)
    assert one.target(0.0) == 1
    one.ask(0.4, found=False)
    assert one.target(0.4) == 2
    one.ask(1.0, found=False)
    assert one.target(1.0) == 2  # it was enough, the first two are long ago


def test_what_is_found_ready_needs_no_more():
    one = demand()
    for _ in range(10):
        one.ask(0.0, found=True)
    assert one.target(0.0) == 0


def test_a_cold_storm_is_followed_in_steps():
    one = demand()
    targets = []
    for time in (0.0, 50.0, 100.0, 150.0, 200.0):
        for number in range(32):
            one.ask(time, found=number < one.target(time))
        targets.append(one.target(time))
    assert targets == [4, 8, 16, 32, 32]


def test_never_more_than_most():
    one = demand(most=3)
    for _ in range(10):
        one.ask(0.0, found=False)
    assert one.target(0.0) == 3


def test_nobody_asked_for_long():
    one = demand()
    one.ask(0.0, found=False)
    assert (one.target(99.9), one.target(100.0)) == (1, 0)
    one.ask(200.0, found=True)
    assert one.target(200.0) == 0


def test_what_is_unused_goes():
    one = demand()
    one.ask(0.0, found=False)
    one.unused()
    one.unused()
    assert one.target(0.0) == 0


def test_one_slow_start_says_little():
    one = demand()
    one.refilled(60.0)
    one.refilled(0.4)
    one.ask(0.0, found=False)
    one.ask(1.0, found=False)
    assert one.target(1.0) == 1


def test_fixed():
    one = FixedDemand(3)
    one.ask(0.0, found=False)
    one.unused()
    assert one.target(1e9) == 3
