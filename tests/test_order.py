"""No window twice before all others once: in any number of processes, stopped and gone on with another."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from brainfm.windows.order import Shuffle, Turns
from brainfm.windows.sampler import Bucketed, Place, RandomWindows, Windows

LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=6).filter(lambda n: max(n) >= 10)


def table(n_times: list[int]) -> pd.DataFrame:
    ids = [f"r{i}" for i in range(len(n_times))]
    times = np.array(n_times)
    return pd.DataFrame({"id": ids, "n_times": times, "sfreq": 100.0, "seconds": times / 100})


# ------------------------------------------------------------------ shuffles and turns


@given(n=st.integers(1, 3000), key=st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)))
@settings(max_examples=80)
def test_a_shuffle_has_everything_once(n: int, key: tuple[int, int]) -> None:
    places = np.arange(n, dtype=np.int64)
    whole = Shuffle(n, key).at(places)
    np.testing.assert_array_equal(np.sort(whole), places)
    some = np.random.default_rng(0).permutation(places)[:50]
    np.testing.assert_array_equal(Shuffle(n, key).at(some), whole[some])


def test_a_shuffle_of_very_many_is_one_too() -> None:
    n = 10**12 + 39
    places = np.random.default_rng(0).integers(n, size=50_000)
    found = Shuffle(n, (7,)).at(places)
    assert ((found >= 0) & (found < n)).all()
    assert len(np.unique(found)) == len(np.unique(places))
    assert abs(np.corrcoef(places, found)[0, 1]) < 0.02


@pytest.mark.parametrize("n", [3, 8, 37])
def test_everything_stands_everywhere_as_often(n: int) -> None:
    places = np.arange(n, dtype=np.int64)
    counts = np.zeros((n, n))
    for key in range(1500):
        counts[places, Shuffle(n, (0, key)).at(places)] += 1
    assert min(chisquare(row).pvalue for row in counts) > 1e-3 / n


@given(
    sizes=st.lists(st.integers(1, 2**33), min_size=1, max_size=6),
    turn=st.integers(0, 2**50),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=80)
def test_everybody_has_their_share_of_the_turns_at_any_time(
    sizes: list[int], turn: int, seed: int
) -> None:
    turns = Turns(tuple(sizes), seed)
    before = np.array(turns.counts(turn), dtype=object)
    assert sum(before) == turn
    for n in range(turn, turn + 20):  # each turn is counted once, as the next of whose it is
        member, earlier = turns.at(n)
        assert earlier == before[member]
        before[member] += 1
    assert list(before) == list(turns.counts(turn + 20))
    for count, size in zip(before, sizes, strict=True):
        assert abs(count * sum(sizes) - (turn + 20) * size) <= len(sizes) * sum(sizes)


# ------------------------------------------------------------------ windows


def read(windows: Windows, first: int, steps: int) -> list[Place]:
    return [place for step in range(first, first + steps) for place in windows.at(step)]


@given(
    n_times=LENGTHS,
    batch=st.integers(1, 9),
    run=st.integers(1, 12),
    seed=st.integers(0, 2**31),
    late=st.sampled_from([0, 1, 1_000_003]),
)
@settings(max_examples=80)
def test_a_pass_has_every_window_once_and_none_overlap(
    n_times: list[int], batch: int, run: int, seed: int, late: int
) -> None:
    windows = RandomWindows(table(n_times), 0.1, batch, seed, run)
    n = windows.n_windows
    # A pass begins where one has come to its end, which falls on a batch every ``batch`` passes.
    placed = read(windows, late * n, n)
    for one in (placed[i : i + n] for i in range(0, batch * n, n)):
        assert len(set(one)) == n
        for id, long in zip(windows.table["id"], n_times, strict=True):
            mine = sorted(p for p in one if p.recording == id)
            assert len(mine) == max((long - 9) // 10, int(long >= 10))
            assert all(a.stop <= b.start for a, b in pairwise(mine))
            assert all(p.start >= 0 and p.stop == p.start + 10 <= long for p in mine)
            assert not mine or long - 10 * len(mine) < 20


@given(
    n_times=LENGTHS,
    steps=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    sizes=st.lists(st.sampled_from([1, 2, 3, 6]), min_size=4, max_size=4),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60)
def test_other_numbers_of_processes_go_on_with_what_was_not_seen(
    n_times: list[int], steps: list[int], sizes: list[int], seed: int
) -> None:
    """Each stretch of steps is done by another number of processes, each of which knows the step alone."""
    whole = read(RandomWindows(table(n_times), 0.1, 6, seed), 0, sum(steps))
    seen, step = [], 0
    for n_steps, size in zip(steps, sizes, strict=False):
        ranks = [RandomWindows(table(n_times), 0.1, 6, seed) for _ in range(size)]
        for now in range(step, step + n_steps):
            shares = [one.at(now)[rank::size] for rank, one in enumerate(ranks)]
            assert {len(share) for share in shares} == {6 // size}
            seen += [place for share in shares for place in share]
        step += n_steps
    assert Counter(seen) == Counter(whole)
    n = RandomWindows(table(n_times), 0.1, 6, seed).n_windows
    whole_passes = len(whole) // n * n
    for first in range(0, whole_passes, n):
        assert len(set(whole[first : first + n])) == n


@given(seed=st.integers(0, 2**31), batch=st.integers(1, 5))
@settings(max_examples=30)
def test_buckets_come_to_the_end_of_a_pass_together(seed: int, batch: int) -> None:
    buckets = tuple(
        RandomWindows(table(n_times).replace({"id": {"r0": name}}), 0.1, batch, seed)
        for name, n_times in (("a", [1009]), ("b", [309]), ("c", [59]))
    )
    windows = Bucketed(buckets, seed)
    assert windows.n_windows == 100 + 30 + 5
    for passes in (1, 3):
        steps = -(-passes * windows.n_windows // batch)
        read_of = Counter(place.recording for place in read(windows, 0, steps))
        for name, n in (("a", 100), ("b", 30), ("c", 5)):
            assert abs(read_of[name] - passes * n) <= 4 * batch


def test_a_run_of_neighbours_stays_together() -> None:
    windows = RandomWindows(table([4009, 6009, 4509]), 0.1, 20, 0, 10)
    for step in range(50):
        places = windows.at(step)
        apart = sum(
            a.recording != b.recording or b.start - a.start != 10 for a, b in pairwise(places)
        )
        # Two runs; each may pass a recording's end or beginning, and a step the pass's.
        assert apart <= 7
        assert len(set(places)) == 20


def test_the_order_is_told_by_all_that_decides_it() -> None:
    rows = table([300, 200])
    plain = RandomWindows(rows, 0.1, 4, 0)
    assert plain.order == RandomWindows(rows.copy(), 0.1, 4, 0).order
    others = [
        RandomWindows(table([300, 201]), 0.1, 4, 0),
        RandomWindows(rows.replace({"id": {"r1": "new"}}), 0.1, 4, 0),
        RandomWindows(rows, 0.2, 4, 0),
        RandomWindows(rows, 0.1, 5, 0),
        RandomWindows(rows, 0.1, 4, 1),
        RandomWindows(rows, 0.1, 4, 0, 2),
        Bucketed((plain,), 0),
        Bucketed((plain,), 1),
        Bucketed((plain, plain), 1),
    ]
    assert len({one.order for one in (plain, *others)}) == len(others) + 1
