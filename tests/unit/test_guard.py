# SPDX-License-Identifier: GPL-2.0
"""What is withheld at which rate, and when it comes back."""

from __future__ import annotations

from cmaobs.guard import NEVER_NS, Guard

SECOND = 1_000_000_000


class Clock:
    """A guard, and the operations that come while time goes on."""

    def __init__(self, most: float, *features: str) -> None:
        self.guard = Guard(most, features)
        self.now_ns = 7 * SECOND
        self._operations = 3
        self.guard.look(self._operations, self.now_ns)

    def second(self, rate: int, times: int = 1) -> tuple[str, ...]:
        """What is withheld after so many seconds at that rate, looked at ten times in each."""
        for _ in range(10 * times):
            self.now_ns += SECOND // 10
            self._operations += rate // 10
            self.guard.look(self._operations, self.now_ns)
        return self.guard.withheld


def test_one_more_is_given_up_each_second_and_counts_never() -> None:
    clock = Clock(1000, "records", "stacks", "phases")
    assert clock.second(1000, 60) == ()
    assert clock.second(2000) == ("phases",)
    assert clock.second(2000) == ("phases", "stacks")
    assert clock.second(2000, 60) == ("phases", "stacks", "records")


def test_what_is_not_in_use_is_not_withheld() -> None:
    assert Clock(1000, "records").second(2000, 9) == ("records",)
    assert Clock(1000).second(2000, 9) == ()


def test_between_the_two_rates_nothing_changes() -> None:
    clock = Clock(1000, "records", "phases")
    assert clock.second(2000) == ("phases",)
    assert clock.second(900, 600) == ("phases",)


def test_the_last_comes_back_first_after_five_seconds_that_were_quiet() -> None:
    clock = Clock(1000, "records", "phases")
    assert clock.second(2000, 2) == ("phases", "records")
    assert clock.second(700, 4) == ("phases", "records")
    assert clock.second(900) == ("phases", "records"), "not quiet: from the beginning"
    assert clock.second(700, 4) == ("phases", "records")
    assert clock.second(700) == ("phases",)
    assert clock.second(700, 4) == ("phases",)
    assert clock.second(700) == ()


def test_what_came_back_is_told_of_operations_that_begin_then() -> None:
    clock = Clock(1000, "records", "phases")
    assert clock.guard.since_ns == {"records": 0, "phases": 0}
    clock.second(2000)
    assert clock.guard.since_ns == {"records": 0, "phases": NEVER_NS}
    clock.second(0, 5)
    assert clock.guard.since_ns == {"records": 0, "phases": clock.now_ns}


def test_it_says_once_that_something_changed() -> None:
    guard = Guard(10, ("records",))
    assert [guard.look(operations, second * SECOND) for second, operations in
            enumerate((0, 5, 50, 500, 500, 500, 500, 500, 500, 500))] == [
        False, False, True, False, False, False, False, False, True, False]
