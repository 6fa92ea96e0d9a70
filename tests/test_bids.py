"""BIDS roots: what sidecars say is used, also as published data sets write it."""

import json
import shutil
import warnings
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pytest

from brainfm.recordings.bids.sidecars import find_sidecars
from brainfm.recordings.files import read_recording
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.sources import find_sources
from brainfm.recordings.synthetic import synthesise

RECIPE = Recipe(l_freq=None, h_freq=None, line_freq=None)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A root with one recording, as mne-bids writes it."""
    root = tmp_path_factory.mktemp("bids")
    (recording, *_) = synthesise(1, seconds=20.0)
    names = [*recording.sensors.names[:-1], "HEART"]
    info = mne.create_info(names, 200.0, ["eeg"] * (len(names) - 1) + ["ecg"])
    raw = mne.io.RawArray(recording.load().astype(float), info, verbose="ERROR")
    raw.set_montage("biosemi64", on_missing="ignore", match_case=False, verbose="ERROR")
    raw.set_annotations(mne.Annotations([2, 5], [1.5, 0], ["rest", "square"]))
    raw.info["bads"] = ["Fp2"]
    path = mne_bids.BIDSPath(subject="07", session="b", task="rest", run="02", root=root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the format is converted, which is wanted
        mne_bids.write_raw_bids(
            raw, path.update(datatype="eeg"), format="EDF", allow_preload=True, verbose="ERROR"
        )
    return root


@pytest.fixture
def root(written, tmp_path):
    shutil.copytree(written, tmp_path / "root")
    return tmp_path / "root"


def read(root, recipe=RECIPE):
    (source,) = find_sources([str(root)], recipe)
    return read_recording(source, recipe)


def sidecar(root, suffix):
    (path,) = root.rglob(f"*_{suffix}")
    return path


def rewrite(path, old, new):
    text = path.read_text(encoding="utf-8-sig")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_root_is_read_as_mne_bids_reads_it(root):
    recording = read(root)
    path = mne_bids.BIDSPath(
        subject="07", session="b", task="rest", run="02", datatype="eeg", root=root
    )
    theirs = mne_bids.read_raw_bids(path, verbose="ERROR")
    assert (recording.subject, recording.session, recording.run) == ("07", "b", "02")
    assert recording.task == "rest"
    eeg = [
        n for n, t in zip(theirs.ch_names, theirs.get_channel_types(), strict=True) if t == "eeg"
    ]
    assert list(recording.sensors.names) == eeg
    bad = [n for n, b in zip(recording.sensors.names, recording.sensors.bad, strict=True) if b]
    assert bad == theirs.info["bads"] == ["Fp2"]
    np.testing.assert_allclose(recording.annotations.onset, theirs.annotations.onset)
    np.testing.assert_allclose(recording.annotations.duration, theirs.annotations.duration)
    assert list(recording.annotations.description) == list(theirs.annotations.description)
    placed = [i for i, s in enumerate(recording.sensors.position_source) if s == "file"]
    assert len(placed) == len(eeg)
    loc = {c["ch_name"]: c["loc"][:3] for c in theirs.info["chs"]}
    for i in placed:
        np.testing.assert_allclose(recording.sensors.position[i], loc[eeg[i]], atol=1e-4)
    data = theirs.get_data(picks="eeg")
    np.testing.assert_allclose(recording.load(), data, atol=2e-3 * data.std())


def test_types_of_the_sidecar_decide(root):
    rewrite(sidecar(root, "channels.tsv"), "Cz\tEEG", "Cz\tEOG")
    assert "Cz" not in read(root).sensors.names
    heart = read(root, Recipe(kinds=("ecg", "eog"), l_freq=None, line_freq=None)).sensors
    assert dict(zip(heart.names, heart.kind, strict=True)) == {"HEART": "ecg", "Cz": "eog"}


def test_a_recipe_wins_over_a_sidecar(root):
    recipe = Recipe(types={"HEART": "eeg"}, l_freq=None, line_freq=None)
    assert "HEART" in read(root, recipe).sensors.names


def test_decimal_commas_and_missing_values_are_read(root):
    events = sidecar(root, "events.tsv")
    events.write_text(
        "\ufeffonset\tduration\ttrial_type\n2,5\t0,25\trest\nn/a\tn/a\tlost\n7.5\tn/a\tsquare\n",
        encoding="utf-8",
    )
    marks = read(root).annotations
    assert marks.onset.tolist() == [2.5, 7.5]
    assert marks.duration.tolist() == [0.25, 0.0]
    assert marks.description == ("rest", "square")


@pytest.mark.parametrize("row", ["Smith\t0", "1\tSmith"])
def test_an_event_without_a_time_is_no_event_passed_over(root, row):
    sidecar(root, "events.tsv").write_text(f"onset\tduration\n2\t0\n{row}\n")
    with pytest.raises(Refused, match=r"events.tsv cannot be read: a value .* is no number") as e:
        read(root)
    assert e.value.reason is Reason.damaged
    assert "Smith" not in str(e.value)


def test_words_that_levels_document_are_kept_and_others_are_not(root):
    events = sidecar(root, "events.tsv")
    events.write_text("onset\tduration\ttrial_type\n1\t0\tblorptask\n2\t0\tMiddlemarch\n")
    assert read(root).annotations.description == ("…", "…")
    levels = {"trial_type": {"Levels": {"blorptask": "the task of this study"}}}
    sidecar(root, "events.json").write_text(json.dumps(levels))
    assert read(root).annotations.description == ("blorptask", "…")
    levels["trial_type"]["Levels"]["*"] = "anything else"
    sidecar(root, "events.json").write_text(json.dumps(levels))
    assert read(root).annotations.description == ("blorptask", "…")


def test_positions_without_landmarks_or_in_millimetres_are_handled(root):
    system = sidecar(root, "coordsystem.json")
    before = read(root).sensors.position
    said = json.loads(system.read_text())
    marks = said["AnatomicalLandmarkCoordinates"]
    said["AnatomicalLandmarkCoordinates"] = {k: [1000 * x for x in v] for k, v in marks.items()}
    said["EEGCoordinateUnits"] = "mm"
    system.write_text(json.dumps(said))
    electrodes = sidecar(root, "electrodes.tsv")
    rows = [line.split("\t") for line in electrodes.read_text().splitlines()]
    for row in rows[1:]:
        row[1:4] = [x if x == "n/a" else str(1000 * float(x)) for x in row[1:4]]
    electrodes.write_text("\n".join("\t".join(row) for row in rows))
    np.testing.assert_allclose(read(root).sensors.position, before, atol=1e-5)
    said.pop("AnatomicalLandmarkCoordinates")
    system.write_text(json.dumps(said))
    assert set(read(root).sensors.position_source) == {"template"}


def test_derivatives_are_passed_over_and_said_unless_named(root, capsys):
    shutil.copytree(root / "sub-07", root / "derivatives" / "clean" / "sub-07")
    assert len(find_sources([str(root)])) == 1
    assert "derivatives" in capsys.readouterr().err
    assert len(find_sources([str(root), str(root / "derivatives")])) == 2


def test_what_is_no_recording_in_a_root_is_not_taken(root):
    (recording,) = root.rglob("*_eeg.edf")
    (raw, *_) = synthesise(1, seconds=2.0)
    info = mne.create_info(list(raw.sensors.names), 200.0, "eeg")
    extra = recording.with_name("sub-07_ses-b_acq-crosstalk_meg.fif")
    mne.io.RawArray(raw.load(), info, verbose="ERROR").save(extra, verbose="ERROR")
    assert len(find_sources([str(root)])) == 1


def test_a_single_file_and_a_part_bring_their_sidecars(root):
    (header,) = root.rglob("*_eeg.edf")
    (source,) = find_sources([str(header)])
    assert find_sources([str(root)]) == [source]
    assert {Path(f).name for f in source.files} >= {"participants.tsv", header.name}
    assert {str(f) for files in find_sidecars(header).values() for f in files} <= set(source.files)
    assert find_sources([str(sidecar(root, "channels.tsv"))]) == [source]


def test_a_sidecar_is_inherited_from_above(root):
    channels = sidecar(root, "channels.tsv")
    channels.rename(root / "task-rest_channels.tsv")
    assert sum(read(root).sensors.bad) == 1


def test_a_broken_sidecar_sets_its_recording_aside(root):
    sidecar(root, "channels.tsv").write_bytes(b"name\xff\xfe\ttype\n")
    with pytest.raises(Refused, match=r"channels\.tsv") as refused:
        read(root)
    assert refused.value.reason is Reason.damaged


def test_participants_give_age_and_sex_and_nothing_else(root):
    (root / "participants.tsv").write_text(
        "participant_id\tage\tsex\tname\tcomment\nsub-07\t93,5\tf\tHarry Haagse\tsees ghosts\n"
    )
    assert read(root).provenance["participant"] == {"age": 90.0, "sex": "F"}


def test_the_line_frequency_of_the_sidecar_is_used_where_the_recipe_detects(root):
    rewrite(sidecar(root, "eeg.json"), '"PowerLineFrequency": "n/a"', '"PowerLineFrequency": 60')
    recording = read(root, Recipe(l_freq=None))
    from brainfm.recordings.recording import consume

    assert consume(recording.blocks(), lambda block: None).provenance["line_freq"] == 60
