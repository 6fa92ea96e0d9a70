"""No person is in a store: identifiers are planted through every format and looked for in every byte."""

import contextlib
import os
import re
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import mne
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from brainfm.errors import WorkError
from brainfm.recordings.files import read_recording
from brainfm.recordings.privacy import Scrubber, find_identity, redact
from brainfm.recordings.quarantine import Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.synthetic import synthesise
from brainfm.recordings.vocabulary import WORDS
from brainfm.stages.ingest import ingest
from brainfm.store.read import open_store

DATA = Path(os.environ.get("BRAINFM_DATA", "")) / "formats"
FIRST, LAST, CODE, STAFF = "Ottoline", "Quillfeather", "ZQ7741935", "Hawksworth"
NOTE = f"Patient {FIRST} {LAST} ({CODE}, born 02.05.1951) awake, Dr. {STAFF} called +49 89 1234567"
PLANTED = ("ottoline", "quillfeath", "7741935", "hawksworth", "1234567")
PLANTED += ("02.05.1951", "02-may-1951", "1951-05-02", "19510502", "1991-05-02")
NAMES = ["Fp1", "Fp2", "C3", "C4", "O1", "O2"]


def signal(seconds=4.0):
    return 1e-5 * np.random.default_rng(0).standard_normal((len(NAMES), round(200 * seconds)))


def raw_of(names=NAMES, texts=("rest", NOTE)):
    raw = mne.io.RawArray(signal(), mne.create_info(list(names), 200.0, "eeg"), verbose="ERROR")
    raw.set_meas_date(datetime(1991, 5, 2, 3, 4, 5, tzinfo=UTC))
    raw.info["subject_info"] = {
        "his_id": CODE, "first_name": FIRST, "last_name": LAST, "birthday": date(1951, 5, 2)
    }  # fmt: skip
    raw.set_annotations(mne.Annotations(np.arange(len(texts)), 0.5, list(texts)))
    return raw


def plant_edf(folder):
    mne.export.export_raw(folder / "sub-1.edf", raw_of(), fmt="edf", verbose="ERROR")
    data = bytearray((folder / "sub-1.edf").read_bytes())
    data[8:88] = f"{f'{CODE} F 02-MAY-1951 {FIRST}_{LAST}':<80}".encode()
    data[88:168] = f"{f'Startdate 02-MAY-1951 {CODE} {STAFF} {LAST}':<80}".encode()
    data[256 + 16 : 256 + 32] = f"{LAST:<16}".encode()  # the second channel's label
    (folder / "sub-1.edf").write_bytes(data)


def plant_bdf(folder):
    mne.export.export_raw(folder / "sub-1.bdf", raw_of(), fmt="bdf", verbose="ERROR")
    data = bytearray((folder / "sub-1.bdf").read_bytes())
    data[8:88] = f"{f'{CODE} F 02-MAY-1951 {FIRST}_{LAST}':<80}".encode()
    (folder / "sub-1.bdf").write_bytes(data)


def plant_fif(folder):
    raw = raw_of([*NAMES[:-1], LAST])
    raw.info["experimenter"], raw.info["proj_name"] = STAFF, NOTE
    raw.info["description"] = NOTE
    raw.save(folder / "sub-1_raw.fif", verbose="ERROR")


def plant_brainvision(folder):
    head = ["Brain Vision Data Exchange Header File Version 1.0", "[Common Infos]"]
    head += ["DataFile=sub-1.eeg", "MarkerFile=sub-1.vmrk", "DataFormat=BINARY"]
    head += [
        "DataOrientation=MULTIPLEXED",
        f"NumberOfChannels={len(NAMES)}",
        "SamplingInterval=5000",
    ]
    head += ["[Binary Infos]", "BinaryFormat=INT_16", "[Channel Infos]"]
    head += [f"Ch{i}={name},,0.1,µV" for i, name in enumerate(NAMES, 1)]
    head += ["[Comment]", NOTE]
    marks = ["Brain Vision Data Exchange Marker File, Version 1.0", "[Common Infos]"]
    marks += ["DataFile=sub-1.eeg", "[Marker Infos]", "Mk1=New Segment,,1,1,0,19510502030405000000"]
    marks += [
        "Mk2=Stimulus,S  1,100,1,0",
        f"Mk3=Comment,{NOTE.replace(',', chr(92) + '1')},200,1,0",
    ]
    (folder / "sub-1.vhdr").write_text("\n".join(head), encoding="utf-8")
    (folder / "sub-1.vmrk").write_text("\n".join(marks), encoding="utf-8")
    (folder / "sub-1.eeg").write_bytes((signal() * 1e7).T.astype("<i2").tobytes())


def plant_eeglab(folder):
    from scipy.io import savemat

    records = np.zeros(len(NAMES), dtype=[("labels", object)])
    records["labels"] = NAMES
    events = np.zeros(2, dtype=[("type", object), ("latency", object), ("duration", object)])
    events["type"], events["latency"], events["duration"] = ["square", NOTE], [10.0, 20.0], [0, 0]
    data = {
        "setname": NOTE, "subject": LAST, "comments": NOTE, "nbchan": len(NAMES), "trials": 1,
        "pnts": signal().shape[1], "srate": 200.0, "xmin": 0.0, "xmax": 4.0, "times": [],
        "data": signal() * 1e6, "chanlocs": records, "event": events, "epoch": [], "ref": "common",
        "chaninfo": {"nosedir": "+X"}, "history": NOTE, "icawinv": [],
        "icasphere": [], "icaweights": [], "icaact": [],
    }  # fmt: skip
    savemat(folder / "sub-1.set", {"EEG": data}, appendmat=False)


def plant_hdf5(folder):
    import h5py

    text = h5py.string_dtype()
    with h5py.File(folder / "sub-1.h5", "w") as file:
        file.create_group("patient").attrs["patient_name"] = f"{LAST}, {FIRST}"
        record = file.create_group("record-0")
        record.attrs.update(
            sample_frequency=200.0, technician=STAFF, start_isodatetime="1951-05-02"
        )
        record["signals"] = (signal() * 1e7).astype("<i2")
        n = len(NAMES)
        for name, value in (("physical_mins", -3276.8), ("physical_maxs", 3276.7)):
            record[f"signal_{name}"] = np.full(n, value)
        record["signal_digital_mins"] = np.full(n, -32768)
        record["signal_digital_maxs"] = np.full(n, 32767)
        record.create_dataset("signal_labels", data=NAMES, dtype=text)
        record.create_dataset("physical_dimensions", data=["uV"] * n, dtype=text)
        marks = record.create_group("edf_annotations")
        marks["starts_100ns"] = np.array([0, 10_000_000])
        marks["durations_char16"] = np.array([b"", b""], dtype="S16")
        marks.create_dataset("texts", data=["SZ START", NOTE], dtype=text)


def plant_bids(folder):
    (folder / "dataset_description.json").write_text(f'{{"Name": "{NOTE}", "Authors": ["{LAST}"]}}')
    (folder / "participants.tsv").write_text(
        f"participant_id\tage\tname\nsub-1\t75\t{FIRST} {LAST}\n"
    )
    eeg = folder / "sub-1" / "eeg"
    eeg.mkdir(parents=True)
    plant_brainvision(eeg)
    for file in sorted(eeg.iterdir()):
        text = file.read_bytes().replace(b"sub-1.", b"sub-1_task-rest_eeg.")
        file.with_name(f"sub-1_task-rest_eeg{file.suffix}").write_bytes(text)
        file.unlink()
    stem = eeg / "sub-1_task-rest"
    Path(f"{stem}_channels.tsv").write_text(
        "name\ttype\tunits\tstatus\tdescription\n"
        + "".join(f"{n}\tEEG\tµV\tgood\t{NOTE}\n" for n in NAMES)
    )
    Path(f"{stem}_events.tsv").write_text(
        f"onset\tduration\ttrial_type\n1\t0\trest\n2\t0\t{NOTE}\n"
    )
    Path(f"{stem}_eeg.json").write_text(
        f'{{"EEGReference": "{NOTE}", "InstitutionName": "{STAFF}"}}'
    )


def plant_damaged(folder):
    """A header that makes readers quote it."""
    plant_edf(folder)
    data = bytearray((folder / "sub-1.edf").read_bytes())
    data[244:252] = LAST[:8].encode()
    (folder / "sub-1.edf").write_bytes(data)
    (folder / "sub-2.vhdr").write_text(f"[Common Infos]\nDataFile={LAST}.eeg\n{NOTE}\n")
    (folder / "sub-3.set").write_text(NOTE)


WRITERS = {
    "edf": plant_edf, "bdf": plant_bdf, "fif": plant_fif, "brainvision": plant_brainvision,
    "eeglab": plant_eeglab, "hdf5": plant_hdf5, "bids": plant_bids, "damaged": plant_damaged,
}  # fmt: skip


def bytes_of(store):
    files = [path for path in store.rglob("*") if path.is_file()]
    assert files
    return {path: path.read_bytes().lower() + str(path.name).lower().encode() for path in files}


def look(store):
    """Fail where a planted word is in any byte of a store, also written in JSON's escapes."""
    for path, data in bytes_of(store).items():
        for word in PLANTED:
            assert word.encode() not in data, f"{word} in {path.name}"


def brought(folder, tmp_path, **recipe):
    fields = {"l_freq": None, "line_freq": None, "h_freq": None, "min_seconds": 0.1, **recipe}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(fields))
    return ingest([str(folder)], store=tmp_path / "s.zarr", recipe=tmp_path / "r.yaml")


def brought_or_not(folder, tmp_path, **recipe):
    with contextlib.suppress(WorkError):  # where nothing came in, which is said so
        brought(folder, tmp_path, **recipe)
    store = open_store(tmp_path / "s.zarr")
    assert len(store.table) + len(store.quarantined) == 1


@pytest.mark.parametrize("name", [n for n in WRITERS if n != "damaged"])
def test_nothing_planted_in_a_file_is_in_the_store(name, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    WRITERS[name](folder)
    summary = brought(folder, tmp_path, **({"reader": "Eeghdf"} if name == "hdf5" else {}))
    assert summary.quarantined == {}
    assert len(summary.added) == 1
    (row,) = open_store(tmp_path / "s.zarr").table.to_dict("records")
    assert row["subject"] == "1" or row["subject"].startswith("sub-1")
    look(tmp_path / "s.zarr")
    # What was planted was there to be found, and what is harmless was kept.
    assert (
        any(LAST.encode() in p.read_bytes() for p in folder.rglob("*") if p.is_file())
        or name == "eeglab"
    )
    recording = read_recording(summary.added[0], Recipe(**_reader(name)))
    texts = recording.annotations.description
    assert len(texts) >= 2
    assert {"rest", "square", "SZ START", "Stimulus/S  1"} & set(texts)
    assert any("Patient" in text and "awake" in text for text in texts)


def _reader(name):
    from brainfm.recordings.component import Component

    return {"reader": Component("Eeghdf")} if name == "hdf5" else {}


def test_nothing_planted_is_in_the_quarantine(tmp_path):
    (tmp_path / "in").mkdir()
    plant_fif(tmp_path / "in")
    plant_damaged(tmp_path / "in")
    summary = brought(tmp_path / "in", tmp_path)
    assert len(summary.quarantined) == 3
    look(tmp_path / "s.zarr")


PATCHES = {
    "gdf/kalunga_subject01_run1.gdf": {b"X" + b" " * 19: f"{LAST:<20}".encode()},
    "cnt/scan41_short.cnt": {b"Unspecified": LAST[:11].encode()},
    "ant/test_CA_208.cnt": {b"antio test": LAST[:10].encode()},
    "persyst/sub-pt1_ses-02_task-monitor_acq-ecog_run-01_clip2.lay": {
        b"FullName=No_Name": f"FullName={FIRST} {LAST}".encode(),
        b"Physician=": f"Physician={STAFF}".encode(),
        b"ID=0": f"ID={CODE}".encode(),
        b"Clip1": NOTE.replace(",", " ").encode(),
    },
    "nicolet/test_nicolet_raw.data": {b"pat_id=102": f"pat_id={CODE}".encode()},
    "nihon/MB0400FU.EEG": {b"A1+A2 OFF": LAST[:9].encode(), b"No_Name": LAST[:7].encode()},
    "curry/test_bdf_stim_channel Curry 8.cdt": {
        b"DataGuid": f"Subject = {LAST}\n   DataGuid".encode()
    },
    "egi/test_egi_multiepoch_eprime.mff": {b"</patient>": f"<n>{LAST}</n></patient>".encode()},
    "ctf/testdata_ctf_short_discontinuous.ds": {b"Anonymized": LAST[:10].encode()},
}
"""In copies of real files: what is replaced by what, in any of a recording's files."""


@pytest.mark.data
@pytest.mark.parametrize("file", PATCHES)
def test_nothing_planted_in_a_real_file_is_in_the_store(file, tmp_path):
    from brainfm.recordings.sources import find_sources

    folder = tmp_path / "in"
    folder.mkdir()
    (source,) = find_sources([str(DATA / file)])
    if Path(source.path).is_dir():
        shutil.copytree(source.path, folder / Path(source.path).name)
    else:
        for part in source.files:
            shutil.copy(part, folder / Path(part).name)
    planted = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        for old, new in PATCHES[file].items():
            planted += data.count(old)
            data = data.replace(old, new)
        path.write_bytes(data)
    assert planted
    brought_or_not(folder, tmp_path, types={"*": "eeg"})
    look(tmp_path / "s.zarr")


# The scrubber itself


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("T0", "T0"),
        ("Stimulus/S253", "Stimulus/S253"),
        ("SZ START", "SZ START"),
        ("Sleep stage 2", "Sleep stage 2"),
        ("left_hand", "left_hand"),
        ("13.5 Hz", "13.5 Hz"),
        ("33024", "33024"),
        ("Patient John awake", "Patient … awake"),
        ("pt Li eyes open", "pt… eyes open"),
        ("Dr. Brown talking", "Dr… talking"),
        ("Müller hustet", "…"),
        ("仰卧", "…"),
        ("02-MAY-1951", "…"),
        ("May 2, 1951", "…"),
        ("1951-05-02", "…"),
        ("john@clinic.org", "…"),
        ("+49 89 123-4567", "…"),
        ("MCH-0234567", "…"),
    ],
)
def test_words_are_kept_and_people_are_not(text, wanted):
    assert Scrubber().text(text) == wanted


@given(st.text(st.characters(categories=("Lu", "Ll", "Lo")), min_size=3, max_size=20))
def test_a_word_that_is_not_in_the_vocabulary_never_stays(word):
    parts = {
        word.casefold(),
        *(p.casefold() for p in re.findall("[A-Z]?[a-z]+|[A-Z]+", word)),
    }
    if not parts & WORDS:
        assert word not in Scrubber().text(f"seizure {word} stop")


@given(st.text(max_size=60))
def test_any_text_can_be_scrubbed_and_twice_is_once(text):
    once = Scrubber().text(text)
    assert Scrubber().text(once) == once


def test_a_recipe_keeps_what_it_names_but_never_the_header_s_people():
    scrubber = Scrubber(identity=frozenset({"quillfeather"}), keep=("go/*", "Blinzeln"))
    assert scrubber.text("go/blorp") == "go/blorp"
    assert scrubber.text("Blinzeln") == "Blinzeln"
    assert scrubber.text("go/Quillfeather") == "go/…"
    assert scrubber.text("nogo/blorp") == "nogo/…"


def test_the_header_s_people_are_found():
    found = find_identity(raw_of().info)
    assert {"ottoline", "quillfeather", "zq7741935"} <= found
    assert not {"x", "no", "name"} & find_identity(mne.create_info(["Fp1"], 200.0, "eeg"))


def test_an_error_s_message_quotes_nothing():
    text = redact(
        f"could not convert string to float: '{LAST}' in /home/{LAST}/x.edf, {CODE} 12345678"
    )
    assert not any(word in text.lower() for word in PLANTED)
    assert "could not convert string to float" in text


def test_a_channel_called_after_a_person_is_numbered(tmp_path):
    plant_fif(tmp_path)
    names = read_recording(str(tmp_path / "sub-1_raw.fif"), Recipe()).sensors.names
    assert names == (*NAMES[:-1], "channel 5")


def test_no_date_is_in_a_recording(tmp_path):
    plant_fif(tmp_path)
    recording = read_recording(str(tmp_path / "sub-1_raw.fif"), Recipe())
    assert recording.annotations.onset.tolist() == [0.0, 1.0]
    assert "1951" not in str(recording)


def test_synthetic_recordings_name_nobody():
    assert all(r.subject.isdigit() for r in synthesise(2, seconds=1.0))


def test_a_refusal_names_nobody(tmp_path):
    plant_edf(tmp_path)
    with pytest.raises(Refused) as refused:
        read_recording(str(tmp_path / "sub-1.edf"), Recipe(kinds=("mag",)))
    assert LAST not in refused.value.detail
