"""Sidecars that published data sets get wrong, or write in a way of their own."""

# ruff: noqa: F401, F811 (fixtures of another file)

import mne_bids
import numpy as np
from test_bids import RECIPE, read, root, sidecar, written


def as_mne_bids(root):
    """The recording of a root, as mne-bids reads it."""
    path = mne_bids.BIDSPath(
        subject="07", session="b", task="rest", run="02", datatype="eeg", root=root
    )
    return mne_bids.read_raw_bids(path, verbose="ERROR")


def write_events(root, *rows):
    lines = ["onset\tduration\ttrial_type", *rows]
    sidecar(root, "events.tsv").write_text("".join(f"{line}\n" for line in lines))


def test_a_quote_alone_swallows_no_later_row(root):
    write_events(root, "1\t0\tleft", '2\t0\t"right', "3\t0\tleft", '4\t0\tright"')
    marks, theirs = read(root).annotations, as_mne_bids(root).annotations
    np.testing.assert_array_equal(marks.onset, theirs.onset)
    assert marks.description == tuple(theirs.description)


def test_a_value_in_quotes_may_hold_a_tab(root):
    write_events(root, '1\t0\t"left"', '2\t0\t"left\tright"')
    assert read(root).annotations.description == ("left", "left\tright")
