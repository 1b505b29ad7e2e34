"""Work in threads finds what work in one thread finds, in the same order."""

import threading
import time

import pytest

from fociquant.prepare.threads import both, each


def test_results_come_in_the_order_of_the_items_whichever_ends_first():
    def work(number):
        time.sleep(0.002 * (5 - number))
        return number * number

    assert each(work, range(6)) == [0, 1, 4, 9, 16, 25]
    assert each(work, []) == []


def test_the_first_error_in_order_is_raised():
    def work(number):
        if number in (2, 4):
            raise ValueError(f"item {number}")
        return number

    with pytest.raises(ValueError, match="item 2"):
        each(work, range(6))


def test_two_pieces_of_work_wait_for_each_other_only():
    there = threading.Barrier(2)
    assert both(lambda: there.wait(10) >= 0, lambda: there.wait(10) >= 0) == (True, True)


@pytest.mark.parametrize("which", [0, 1])
def test_an_error_of_either_is_raised(which):
    def fail():
        raise KeyError(f"number {which}")

    work = [lambda: 1, lambda: 2]
    work[which] = fail
    with pytest.raises(KeyError, match=f"number {which}"):
        both(*work)
