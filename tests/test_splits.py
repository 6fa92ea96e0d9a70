from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from brainfm.errors import UsageError
from brainfm.windows.purge import WithinRecordings, apart
from brainfm.windows.splits import Fold, SubjectFolds, check_disjoint, hold_out, subjects_of

NAMES = st.lists(st.text("abc012", min_size=1, max_size=3), min_size=6, max_size=20, unique=True)


def table(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"subject": names})


@given(names=NAMES, folds=st.integers(2, 5), validation=st.floats(0, 0.6), seed=st.integers(0, 99))
def test_every_subject_is_tested_once_and_stands_on_one_side(names, folds, validation, seed):
    made = SubjectFolds(folds, validation).split(table(names), seed)
    assert sorted(s for fold in made for s in fold.test) == sorted(names)
    for index, fold in enumerate(made):
        assert fold.index == index
        sides = [*fold.train, *fold.validation, *fold.test]
        assert sorted(sides) == sorted(names)
        assert fold.train
        assert fold.test
        assert bool(fold.validation) == (validation > 0)


@given(data=st.data(), names=NAMES, seed=st.integers(0, 99))
def test_rows_and_their_order_change_nothing(data, names, seed):
    more = data.draw(st.permutations([*names, *names[:3]]))
    folds = SubjectFolds(3, 0.3)
    assert folds.split(table(names), seed) == folds.split(table(more), seed)
    assert hold_out(table(names), 0.3, seed) == hold_out(table(more), 0.3, seed)


def test_the_split_is_the_same_on_every_machine():
    names = [f"{i:02d}" for i in range(8)]
    tested = [fold.test for fold in SubjectFolds(4, 0.25).split(table(names), 0)]
    assert tested == [fold.test for fold in SubjectFolds(4, 0.25).split(table(names), 0)]
    assert tested != [fold.test for fold in SubjectFolds(4, 0.25).split(table(names), 1)]
    # Written down, so that a change of the shuffling shows: it would change every published split.
    assert tested == [("02", "04"), ("03", "06"), ("00", "05"), ("01", "07")]


@given(names=NAMES, seed=st.integers(0, 99))
def test_only_the_named_subjects_are_tested(names, seed):
    allowed = tuple(names[:4])
    made = SubjectFolds(2, 0.2, allowed).split(table(names), seed)
    assert sorted(s for fold in made for s in fold.test) == sorted(allowed)
    others = set(names) - set(allowed)
    for fold in made:
        assert others <= {*fold.train, *fold.validation}


@given(names=NAMES, fraction=st.floats(0.01, 0.7), seed=st.integers(0, 99))
def test_hold_out_puts_the_share_aside(names, fraction, seed):
    fold = hold_out(table(names), fraction, seed)
    assert len(fold.validation) == max(1, round(fraction * len(names)))
    assert sorted([*fold.train, *fold.validation]) == sorted(names)
    assert fold.test == ()


def test_a_subject_on_two_sides_is_refused_by_name():
    with pytest.raises(UsageError, match="'b' is in train and in test"):
        Fold(0, ("a", "b"), (), ("b", "c"))
    check_disjoint(train=("a",), validation=(), test=("b",))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SubjectFolds(1, 0.2), "1 folds"),
        (lambda: SubjectFolds(2, 1.0), "share of 1.0"),
        (lambda: SubjectFolds(4, 0.2).split(table(["a", "b", "c"]), 0), "3 subjects .* 4 folds"),
        (lambda: SubjectFolds(2, 0.5).split(table(["a", "b"]), 0), "1 subjects besides"),
        (lambda: SubjectFolds(2, 0.0, ("z",)).split(table(["a", "b"]), 0), r"\['z'\]"),
        (lambda: hold_out(table(["a"]), 0.5, 0), "1 subjects"),
        (lambda: subjects_of(pd.DataFrame({"id": [1]})), "without a subject column"),
        (lambda: subjects_of(pd.DataFrame({"subject": ["a", None]})), "1 rows have no subject"),
    ],
)
def test_what_cannot_be_split_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


# ------------------------------------------------------------------ windows of one recording on both sides


@st.composite
def windows(draw):
    """Return windows of some recordings, of one length, with gaps or overlaps between them."""
    seconds = draw(st.sampled_from([1.0, 2.5, 4.0]))
    rows = []
    for recording in range(draw(st.integers(1, 3))):
        steps = draw(st.lists(st.integers(1, 60), min_size=8, max_size=24))
        rows += [
            {"recording": f"r{recording}", "onset": float(o), "seconds": seconds}
            for o in np.cumsum(steps) / 10
        ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0).reset_index(drop=True)


@settings(max_examples=50)
@given(
    table=windows(),
    folds=st.integers(2, 4),
    validation=st.sampled_from([0.0, 0.2, 0.4]),
    embargo=st.sampled_from([0.0, 0.5, 3.0]),
)
def test_windows_of_different_sides_never_overlap_and_keep_the_embargo(
    table, folds, validation, embargo
):
    try:
        made = WithinRecordings(folds, validation, embargo).split(table, 0)
    except UsageError as error:
        assume("leaves no window to train on" not in str(error))
        raise
    tested = sum(fold.rows("test", table).astype(int) for fold in made)
    assert (tested == 1).all()
    for fold in made:
        sides = [table[fold.rows(side, table)] for side in ("train", "validation", "test")]
        assert len(sides[0])
        for one, other in combinations(sides, 2):
            pairs = one.merge(other, on="recording", suffixes=("", "_other"))
            gap = np.maximum(
                pairs["onset_other"] - pairs["onset"] - pairs["seconds"],
                pairs["onset"] - pairs["onset_other"] - pairs["seconds_other"],
            )
            assert (gap >= embargo - 1e-5).all()


@given(table=windows(), embargo=st.sampled_from([0.0, 1.0]), seed=st.integers(0, 99))
def test_no_window_is_purged_without_need(table, embargo, seed):
    rng = np.random.default_rng(seed)
    held = rng.random(len(table)) < 0.2
    stays = apart(table, ~held, held, embargo=embargo)
    for i in np.flatnonzero(~held):
        mine, others = table.iloc[i], table[held & (table["recording"] == table["recording"][i])]
        near = (others["onset"] < mine["onset"] + mine["seconds"] + embargo - 1e-6) & (
            others["onset"] + others["seconds"] > mine["onset"] - embargo + 1e-6
        )
        assert stays[i] == (not near.any())


def test_a_recording_with_fewer_windows_than_folds_is_refused():
    table = pd.DataFrame({"recording": "r", "onset": [0.0, 1.0], "seconds": 1.0})
    with pytest.raises(UsageError, match="has 2 windows for 3 folds"):
        WithinRecordings(3).split(table, 0)
    with pytest.raises(UsageError, match="1 folds"):
        WithinRecordings(1)
    with pytest.raises(UsageError, match="no window to train on"):
        WithinRecordings(2, 0.0, 5.0).split(table, 0)
