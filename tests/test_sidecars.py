"""Sidecars that published data sets get wrong, or write in a way of their own."""

# ruff: noqa: F401, F811 (fixtures of another file)

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pytest
from test_bids import RECIPE, read, rewrite, root, sidecar, written

from brainfm.recordings.bids.names import match_rows
from brainfm.recordings.bids.sidecars import is_recording
from brainfm.recordings.files import read_recording
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import consume
from brainfm.recordings.sources import find_sources
from brainfm.recordings.state import hash_of


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


def test_json_is_inherited_key_by_key(root):
    sidecar(root, "eeg.json").write_text('{"RecordingDuration": 20, "EEGReference": "Cz"}')
    above = {"PowerLineFrequency": 60, "EEGReference": "Fz"}
    (root / "task-rest_eeg.json").write_text(json.dumps(above))
    (root / "task-other_eeg.json").write_text('{"PowerLineFrequency": 50}')
    recording = read(root, Recipe(l_freq=None))
    assert recording.provenance["reference"] == "Cz"
    assert consume(recording.blocks(), lambda block: None).provenance["line_freq"] == 60
    (source,) = find_sources([str(root)])
    assert str(root / "task-rest_eeg.json") in source.files


@pytest.mark.parametrize("name", ["coordsystem.json", "space-CapTrak_coordsystem.json"])
def test_positions_are_measured_as_their_own_coordinate_system_says(root, name):
    before = read(root).sensors.position
    system, electrodes = sidecar(root, "coordsystem.json"), sidecar(root, "electrodes.tsv")
    assert "space-CapTrak" in electrodes.name
    said = json.loads(system.read_text())
    system.rename(system.with_name(f"sub-07_ses-b_{name}"))
    other = said | {"EEGCoordinateUnits": "mm", "AnatomicalLandmarkCoordinateUnits": "mm"}
    system.with_name("sub-07_ses-b_space-Other_coordsystem.json").write_text(json.dumps(other))
    np.testing.assert_array_equal(read(root).sensors.position, before)


@pytest.mark.data
@pytest.mark.parametrize("native", [False, True], ids=["MNE's names", "4D's names"])
def test_a_4d_recording_has_the_sidecars_that_its_folder_names(tmp_path, native):
    folder = tmp_path / "sub-01" / "meg" / "sub-01_task-rest_meg"
    folder.mkdir(parents=True)
    for name in ("c,rfDC", "config", "hs_file"):
        shutil.copy(Path(os.environ["BRAINFM_DATA"]) / "formats" / "bti" / "4Dsim" / name, folder)
    files = (folder / name for name in ("c,rfDC", "config", "hs_file"))
    raw = mne.io.read_raw_bti(*files, sort_by_ch_name=False, verbose="ERROR")
    chosen = mne.pick_types(raw.info, meg="mag")[3]
    bad = raw._raw_extras[0]["bti_ch_labels"][chosen] if native else raw.ch_names[chosen]
    assert bad == ("A241" if native else "MEG 023")
    (tmp_path / "dataset_description.json").write_text("{}")
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-01\t30\n")
    stem = folder.with_name("sub-01_task-rest")
    Path(f"{stem}_channels.tsv").write_text(f"name\ttype\tstatus\n{bad}\tMEGMAG\tbad\n")
    Path(f"{stem}_events.tsv").write_text("onset\tduration\ttrial_type\n0.1\t0\tleft\n")
    (source,) = find_sources([str(tmp_path)])
    assert {Path(file).name for file in source.files} >= {f"{stem.name}_channels.tsv"}
    recording = read_recording(source, replace(RECIPE, min_seconds=0.1))
    assert (recording.subject, recording.task) == ("01", "rest")
    assert recording.provenance["participant"] == {"age": 30.0}
    assert recording.annotations.description == ("left",)
    (place,) = np.flatnonzero(recording.sensors.bad)
    assert recording.sensors.names[place] == raw.ch_names[chosen]


def test_a_folder_of_a_data_type_names_no_recording():
    folder = Path("root") / "sub-01" / "meg"
    assert not is_recording(folder / "sub-01_task-rest_markers.sqd")
    assert is_recording(folder / "sub-01_task-rest_meg.con")
    assert is_recording(folder / "sub-01_task-rest_meg" / "c,rfDC")


MOVED = (0.0, 0.02, 0.04)
"""Metres by which an origin lies elsewhere than the head's."""


def place_in(root, *, electrodes, marks, said):
    """Write positions in units and from another origin, and what ``coordsystem.json`` says of them."""
    system = sidecar(root, "coordsystem.json")
    held = json.loads(system.read_text())
    points = held["AnatomicalLandmarkCoordinates"]
    points = {
        n: [marks * (x + d) for x, d in zip(p, MOVED, strict=True)] for n, p in points.items()
    }
    system.write_text(json.dumps(said | {"AnatomicalLandmarkCoordinates": points}))
    table = sidecar(root, "electrodes.tsv")
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    for row in rows[1:]:
        if row[1] != "n/a":
            moved = (electrodes * (float(x) + d) for x, d in zip(row[1:4], MOVED, strict=True))
            row[1:4] = map(str, moved)
    table.write_text("".join("\t".join(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("electrodes", "marks", "said"),
    [
        (1e3, 1, {"EEGCoordinateUnits": "mm", "AnatomicalLandmarkCoordinateUnits": "m"}),
        (1e3, 100, {"AnatomicalLandmarkCoordinateUnits": "cm", "EEGCoordinateUnits": "mm"}),
        (1e3, 1e3, {"MEGCoordinateUnits": "n/a", "EEGCoordinateUnits": "mm"}),
        (100, 100, {"iEEGCoordinateUnits": "cm", "AnatomicalLandmarkCoordinateUnits": "n/a"}),
    ],
)
def test_electrodes_and_landmarks_have_a_unit_each(root, electrodes, marks, said):
    before = read(root).sensors
    loc = {c["ch_name"]: c["loc"][:3] for c in as_mne_bids(root).info["chs"]}
    place_in(root, electrodes=electrodes, marks=marks, said=said)
    found = read(root).sensors
    assert set(found.position_source) == {"file"}
    np.testing.assert_allclose(found.position, before.position, atol=1e-6)
    np.testing.assert_allclose(found.position, [loc[name] for name in found.names], atol=1e-4)


@pytest.mark.parametrize("unit", ["pixels", "n/a"])
def test_electrodes_in_no_unit_of_length_are_not_placed_by_the_file(root, unit):
    place_in(root, electrodes=1, marks=1, said={"EEGCoordinateUnits": unit})
    assert set(read(root).sensors.position_source) == {"template"}


def test_electrodes_are_found_by_our_names_where_the_file_has_others(root):
    before = read(root).sensors
    strip_prefix(root)
    np.testing.assert_array_equal(read(root).sensors.position, before.position)


@pytest.mark.parametrize(
    "marks", [None, "n/a", {}, {"NAS": "n/a", "LPA": None, "RPA": ["n/a"] * 3}, {"NAS": [0, 1, 0]}]
)
def test_landmarks_that_are_not_known_leave_the_template(root, marks):
    system = sidecar(root, "coordsystem.json")
    said = json.loads(system.read_text()) | {"AnatomicalLandmarkCoordinates": marks}
    system.write_text(json.dumps(said))
    assert set(read(root).sensors.position_source) == {"template"}


BROKEN = {
    "events.json": [
        ('{"trial_type": "x"}', "its trial_type is no map"),
        ('{"trial_type": {"Levels": "x"}}', "its Levels of trial_type is no map"),
        ("[1]", "it is no map"),
    ],
    "eeg.json": [("[1]", "it is no map"), ("{", "it is no JSON"), ("[" * 10**5, "it is no JSON")],
    "coordsystem.json": [
        (
            '{"EEGCoordinateUnits": "m", "AnatomicalLandmarkCoordinates": [1, 2]}',
            "its AnatomicalLandmarkCoordinates is no map",
        ),
        (
            '{"EEGCoordinateUnits": "m", "AnatomicalLandmarkCoordinates": {"NAS": [0, 1]}}',
            "its NAS is no list of three numbers",
        ),
    ],
}


@pytest.mark.parametrize(
    ("suffix", "text", "why"), [(name, *case) for name, cases in BROKEN.items() for case in cases]
)
def test_a_broken_sidecar_is_blamed_itself(root, suffix, text, why):
    sidecar(root, suffix).write_text(text)
    with pytest.raises(Refused, match=f"Its sidecar {suffix} cannot be read: {why}") as refused:
        read(root)
    assert refused.value.reason is Reason.damaged


@pytest.mark.parametrize("text", ['{"trial_type": {"Levels": null}}', '{"trial_type": null}', "{}"])
def test_levels_may_be_missing(root, text):
    sidecar(root, "events.json").write_text(text)
    assert read(root).annotations.description == ("rest", "square")


@pytest.mark.parametrize(("wanted", "said"), [(None, "Cz"), ("average", "average")])
def test_a_recipe_s_reference_is_what_the_provenance_says(root, wanted, said):
    sidecar(root, "eeg.json").write_text('{"EEGReference": "Cz"}')
    recording = read(root, replace(RECIPE, reference=wanted))
    assert recording.provenance["reference"] == said
    assert set(recording.sensors.reference) == {wanted}


def test_joins_are_boundaries_and_last_no_time(root):
    write_events(
        root,
        "0\t0\tNew Segment/",
        "1\t0\tleft",
        "5\t30\tboundary",
        "7\t0\tNew Segment/",
        "9\t0\tn/a",
    )
    marks = read(root).annotations
    assert marks.onset.tolist() == [0, 1, 5, 7, 9]
    assert marks.duration.tolist() == [0.0] * 5
    assert marks.description[1:4] == ("left", "BAD_boundary", "BAD_boundary")
    assert marks.description[0] != "BAD_boundary"


def test_events_outside_of_the_recording_are_left_out_and_counted(root):
    inside = ["-1\t2.5\tleft", "-1\t1\tleft", "2.3\t0.1\tleft", "12\t500\tright", "20\t0\tleft"]
    write_events(root, *inside, "-3\t0\tleft", "-3\t1\tright", "20.1\t0\tleft", "1e9\t5\tright")
    recording, theirs = read(root), as_mne_bids(root).annotations
    marks = recording.annotations
    assert recording.provenance["events_outside"] == 4
    np.testing.assert_allclose(marks.onset, theirs.onset)
    np.testing.assert_allclose(sorted(marks.duration), sorted(theirs.duration))
    assert sorted(marks.description) == sorted(theirs.description)
    assert 0.1 in marks.duration


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (["T3"], {"T3": "T3"}),
        (["T7"], {"T7": "T7"}),
        (["T8"], {"T4": "T8"}),
        (["Fz", "FZ"], {"EEG Fz-REF": "Fz"}),
        (["chan 1"], {"chan 1": "chan 1"}),
        (["cz"], {"chan 1": "cz"}),
    ],
)
def test_a_row_is_of_the_channel_that_bears_its_name(table, found):
    info = mne.create_info(["T3", "T7", "T4", "EEG Fz-REF", "chan 1"], 100.0, "eeg")
    raw = mne.io.RawArray(np.zeros((5, 10)), info, verbose="ERROR")
    rows = match_rows(raw, [{"name": name} for name in table], Recipe(rename={"chan 1": "Cz"}))
    assert {channel: row["name"] for channel, row in rows.items()} == found


def test_who_joins_a_data_set_changes_nobody_else(root):
    (source,) = find_sources([str(root)])
    table, before = root / "participants.tsv", hash_of(source)
    text = table.read_text().rstrip("\n")
    head, own = text.splitlines()
    table.write_text(f"{text}\nsub-070" + own[len("sub-07") :] + "\n")
    assert hash_of(source) == before
    table.write_text(f"{head}\n{own}9\n")
    assert hash_of(source) != before
    table.write_text(f"{head}\n")
    assert hash_of(source) != before
