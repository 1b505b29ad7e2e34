"""Every piece is visited once, neighbours in one place, whoever comes and goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fociquant.run.routes import Routes


def routes_of(lengths):
    routes = Routes()
    for number, length in enumerate(lengths):
        routes.add(f"s{number}", [(number, piece) for piece in range(length)])
    return routes


@given(
    lengths=st.lists(st.integers(0, 20), max_size=4),
    visits=st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=120),
)
def test_every_piece_is_taken_once(lengths, visits):
    routes = routes_of(lengths)
    taken = []
    for place, leaves in visits:
        piece = routes.take(place)
        if piece is not None:
            taken.append(piece)
        if leaves:
            routes.leave(place)
    assert len(taken) == len(set(taken)) and len(taken) + len(routes) == sum(lengths)
    while (piece := routes.take("last")) is not None:
        taken.append(piece)
    assert len(set(taken)) == sum(lengths) and len(routes) == 0


def test_one_place_goes_along_a_section():
    routes = routes_of([5, 3])
    assert [routes.take("a") for _ in range(8)] == [(0, p) for p in range(5)] + [
        (1, p) for p in range(3)
    ]


def test_a_second_place_takes_another_section_then_the_far_half():
    routes = routes_of([8, 2])
    assert routes.take("a") == (0, 0)
    assert [routes.take("b") for _ in range(2)] == [(1, 0), (1, 1)]
    assert routes.take("b") == (0, 4)
    assert [routes.take("a") for _ in range(3)] == [(0, 1), (0, 2), (0, 3)]


def test_what_is_dropped_is_given_back():
    routes = routes_of([3, 2])
    routes.take("a")
    assert routes.drop("s0") == [(0, 1), (0, 2)]
    assert routes.take("a") == (1, 0) and len(routes) == 1
