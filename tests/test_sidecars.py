"""Sidecars that published data sets get wrong, or write in a way of their own."""

# ruff: noqa: F401, F811 (fixtures of another file)

from dataclasses import replace

import mne_bids
import numpy as np
import pytest
from test_bids import RECIPE, read, rewrite, root, sidecar, written

from brainfm.recordings.quarantine import Refused


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


def strip_prefix(root):
    """Name the channels ``EEG Fp1`` in the file, and as before in the table."""
    (edf,) = root.rglob("*_eeg.edf")
    data = bytearray(edf.read_bytes())
    for at in range(256, 256 + 16 * int(data[252:256]), 16):
        label = data[at : at + 16].decode().strip()
        if label not in ("HEART", "EDF Annotations"):
            data[at : at + 16] = f"EEG {label}".encode().ljust(16)
    edf.write_bytes(data)


def test_rows_are_found_by_our_names_where_the_file_has_others(root):
    before = read(root)
    strip_prefix(root)
    rewrite(sidecar(root, "channels.tsv"), "Cz\tEEG", "Cz\tEOG")
    found = read(root)
    kept = [name != "Cz" for name in before.sensors.names]
    assert found.sensors.names == tuple(np.array(before.sensors.names)[kept])
    assert found.sensors.bad == tuple(np.array(before.sensors.bad)[kept])
    # Nor is the file's microvolt taken for no unit.
    assert found.provenance["unit_scale"] == 1
    np.testing.assert_array_equal(found.load(), before.load()[kept])


def test_a_table_of_other_channels_is_refused(root):
    table = sidecar(root, "channels.tsv")
    table.write_text("name\ttype\tunits\nX1\tEEG\tµV\nX2\tEEG\tµV\n")
    with pytest.raises(Refused, match=r"channels.tsv cannot be read: none of its names"):
        read(root)


def test_bad_is_bad_in_any_case(root):
    rewrite(sidecar(root, "channels.tsv"), "\tbad", "\tBad")
    sensors = read(root).sensors
    bad = [name for name, bad in zip(sensors.names, sensors.bad, strict=True) if bad]
    assert bad == as_mne_bids(root).info["bads"] == ["Fp2"]


@pytest.mark.parametrize("key", ["C*", "Cz", "EEG C*"])
def test_a_pattern_of_the_recipe_wins_over_a_sidecar(root, key):
    strip_prefix(root)
    rewrite(sidecar(root, "channels.tsv"), "Cz\tEEG", "Cz\tMISC")
    assert "Cz" not in read(root).sensors.names
    assert "Cz" in read(root, replace(RECIPE, types={key: "eeg"})).sensors.names


@pytest.mark.parametrize("kind", ["EEG", "SEEG", "ECOG"])
def test_the_table_s_unit_is_taken_for_every_kind_that_the_file_gives_none(root, kind):
    before = read(root).load()
    (edf,) = root.rglob("*_eeg.edf")
    data = bytearray(edf.read_bytes())
    n = int(data[252:256])
    data[256 + 96 * n : 256 + 104 * n] = b" " * 8 * n
    edf.write_bytes(data)
    rewrite(sidecar(root, "channels.tsv"), "\tEEG\t", f"\t{kind}\t")
    # A heart's, in another unit, is not read and does not matter.
    rewrite(sidecar(root, "channels.tsv"), "HEART\tECG\tµV", "HEART\tECG\tmV")
    recording = read(root, replace(RECIPE, kinds=(kind.lower(),)))
    assert recording.provenance["unit_scale"] == 1e-6
    np.testing.assert_allclose(recording.load(), before, atol=1e-11)
