"""No person is in a store: identifiers are planted through every format and looked for in every byte."""

import os
import re
from datetime import UTC, date, datetime
from pathlib import Path

import edfio
import layouts
import mne
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from brainfm.errors import UsageError, WorkError
from brainfm.recordings.component import Component
from brainfm.recordings.dates import DateShift
from brainfm.recordings.events.labels import attach_side_files
from brainfm.recordings.events.side import SideFile
from brainfm.recordings.files import read_recording
from brainfm.recordings.formats.bonn import BonnText  # noqa: F401
from brainfm.recordings.formats.eeghdf import Eeghdf  # noqa: F401
from brainfm.recordings.formats.known import FORMATS
from brainfm.recordings.formats.reader import Reader
from brainfm.recordings.formats.whole import ctf_trials
from brainfm.recordings.privacy import REMOVED, Scrubber, find_identity, redact
from brainfm.recordings.quarantine import Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.sources import find_sources
from brainfm.recordings.synthetic import synthesise
from brainfm.recordings.vocabulary import MESSAGES, SURNAMES, WORDS
from brainfm.stages.ingest import ingest
from brainfm.store.read import open_store

DATA = Path(os.environ.get("BRAINFM_DATA", "")) / "formats"
FIRST, LAST, CODE, STAFF = "Ottoline", "Quillfeather", "ZQ7741935", "Hawksworth"
NOTE = f"Patient {FIRST} {LAST} ({CODE}, born 02.05.1951) awake, Dr. {STAFF} called +49 89 1234567"
ODD = "geb. 2. 5. 1951 or 02.05 1951 or 1951,05,02 or May 2nd, 1951, Herr Dr. A. Brown, Patient B. White"
PLANTED = ("ottoline", "quil", "7741935", "hawksworth", "1234567")
PLANTED += ("02.05.1951", "02-may-1951", "1951-05-02", "1951/05/02", "19510502", "1991-05-02")
PLANTED += ("2. 5. 1951", "02.05 1951", "1951,05,02", "2nd, 1951", "brown", "white")
NAMES = ["Fp1", "Fp2", "C3", "C4", "O1", "O2"]


def signal(seconds=4.0):
    return 1e-5 * np.random.default_rng(0).standard_normal((len(NAMES), round(200 * seconds)))


def raw_of(names=NAMES, texts=("rest", NOTE, ODD)):
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


def plant_egi(folder):
    """EGI's simple binary: a date, codes of four letters, samples; version 4 is float32."""
    import struct

    n_times, codes = signal().shape[1], (b"rest", LAST[:4].encode())
    date = (1951, 5, 2, 3, 4, 5)
    head = struct.pack(">i6hi5hih", 4, *date, 0, 200, 32, 1, 0, 0, n_times, len(codes))
    frames = np.zeros((n_times, 32 + len(codes)), ">f4")
    frames[:, :32] = 10 * np.random.default_rng(0).standard_normal((n_times, 32))
    frames[[100, 300], 32], frames[200, 33] = 1, 1
    (folder / "sub-1.raw").write_bytes(head + b"".join(codes) + frames.tobytes())


CURRY = f"""DATA_PARAMETERS START
   CurrentSessionLabel  = {LAST}
   DataByteOrder        = INTEL
   DataSampOrder        = SAMP
   AmplifierInfo        = {CODE}
   Comments             = {NOTE}
   NumSamples           =  800
   NumTrials            =  1
   NumChannels          =  {len(NAMES)}
   DataFormat           =  6
   StartYear            =  1951
   StartMonth           =  5
   StartDay             =  2
   StartHour            =  8
   StartMin             =  4
   StartSec             =  12
   StartMillisec        =  0
   SampleTimeUsec       =  5000
   SampleFreqHz         =  200
   TriggerOffsetUsec    =  0
DATA_PARAMETERS END
DEVICE_PARAMETERS START
   DataUnit             = uV
   NumChanThisGroup     =  {len(NAMES)}
DEVICE_PARAMETERS END
"""


def plant_curry(folder):
    """Curry 7: parameters, float32 samples, labels and events in four files."""

    def listed(name, rows):
        head = [f"\n{name} START", f"{name} END", f"{name} START_LIST\t# Do not edit!"]
        return "\n".join([*head, *rows, f"{name} END_LIST", ""])

    (folder / "sub-1.dap").write_text(CURRY)
    (folder / "sub-1.dat").write_bytes((1e6 * signal()).T.astype("<f4").tobytes())
    places = [f"{10 * i}\t{10 * i}\t90" for i in range(len(NAMES))]
    (folder / "sub-1.rs3").write_text(listed("LABELS", NAMES) + listed("SENSORS", places))
    events = [
        f"{at}\t0\t{code}\t-1\t{at}\t{at}\t0\t0\t0\t0\t0" for at, code in ((100, 1), (300, 2))
    ]
    (folder / "sub-1.cef").write_text(
        listed("NUMBER_LIST", events) + listed("REMARK_LIST", ["rest", NOTE])
    )


def plant_bonn(folder):
    values = np.round(1e6 * signal()[0]).astype(int)
    (folder / "sub-1.txt").write_text("\n".join(map(str, values)))
    (folder / "sub-2.txt").write_text(f"{NOTE}\n1\n2\n3")


def plant_shu(folder):
    from scipy.io import savemat

    held = {
        "data": 20 * np.random.default_rng(0).standard_normal((3, 32, 1000)),
        "labels": [[1, 2, 1]],
    }
    held |= {"patient": f"{FIRST} {LAST}", "note": NOTE}
    savemat(folder / "sub-1_ses-1_task_motorimagery_eeg.mat", held)


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
    Path(f"{stem}_events.json").write_text(
        '{"trial_type": {"Levels": {"*": "else", "?est": "rest"}}}'
    )
    Path(f"{stem}_eeg.json").write_text(
        f'{{"EEGReference": "{NOTE}", "InstitutionName": "{STAFF}"}}'
    )


def plant_nedf(folder, n_times=1000):
    """Neuroelectrics: 10,240 bytes of XML, then blocks of one of the accelerometer and five of 24 bits."""
    montage = "".join(f"<C{i}>{name}</C{i}>" for i, name in enumerate(NAMES))
    header = (
        f"<nedf><NEDFversion>1.3</NEDFversion><NumberOfChannelsOfAccelerometer>3"
        f"</NumberOfChannelsOfAccelerometer><StepDetails><SubjectName>{LAST}</SubjectName>"
        f"<StepName>{NOTE}</StepName><StartDate_firstEEGTimestamp>1000</StartDate_firstEEGTimestamp>"
        f"</StepDetails><EEGSettings><TotalNumberOfChannels>{len(NAMES)}</TotalNumberOfChannels>"
        f"<EEGSamplingRate>500</EEGSamplingRate><NumberOfRecordsOfEEG>{n_times}</NumberOfRecordsOfEEG>"
        f"<EEGMontage>{montage}</EEGMontage></EEGSettings></nedf>"
    )
    sample = np.dtype([("eeg", "u1", (len(NAMES), 3)), ("trigger", ">i4")])
    blocks = np.zeros(n_times // 5, np.dtype([("moved", ">u2", 3), ("sample", sample, 5)]))
    low = np.random.default_rng(0).integers(0, 256, (n_times // 5, 5, len(NAMES), 2))
    blocks["sample"]["eeg"][..., 1:] = low
    (folder / "sub-1.nedf").write_bytes(header.encode().ljust(10_240, b"\0") + blocks.tobytes())


def plant_damaged(folder):
    """A header that makes readers quote it."""
    plant_edf(folder)
    data = bytearray((folder / "sub-1.edf").read_bytes())
    whole = bytes(data)
    data[244:252] = LAST[:8].encode()
    (folder / "sub-1.edf").write_bytes(data)
    (folder / "sub-2.vhdr").write_text(f"[Common Infos]\nDataFile={LAST}.eeg\n{NOTE}\n")
    (folder / "sub-3.set").write_text(NOTE)
    # The calibration of a signal that is called after the person spans nothing.
    data = bytearray(whole)
    n_signals = int(data[252:256])
    data[256 + 16 : 256 + 32] = f"{f'EEG {LAST}':<16}".encode()
    data[256 + 104 * n_signals + 8 : 256 + 104 * n_signals + 16] = b"0       "
    data[256 + 112 * n_signals + 8 : 256 + 112 * n_signals + 16] = b"0       "
    (folder / "sub-4.edf").write_bytes(data)
    spoil_brainvision(folder, "sub-5", b"BinaryFormat=INT_16", f"BinaryFormat={FIRST} {LAST}")
    spoil_brainvision(folder, "sub-6", b"DataFile=sub-6.eeg", f"DataFile=Mrs 02.05.1951 {LAST}")
    spoil_brainvision(folder, "sub-7", b"MULTIPLEXED", LAST.lower())


def spoil_brainvision(folder, name, old, new):
    (folder / name).mkdir()
    plant_brainvision(folder / name)
    for file in (folder / name).iterdir():
        text = file.read_bytes().replace(b"sub-1", name.encode()).replace(old, new.encode())
        (folder / f"{name}{file.suffix}").write_bytes(text)
        file.unlink()
    (folder / name).rmdir()


WRITERS = {
    "EDF": plant_edf, "BDF": plant_bdf, "FIF": plant_fif, "BrainVision": plant_brainvision,
    "EEGLAB": plant_eeglab, "EGI simple binary": plant_egi, "Curry 7": plant_curry,
    "Eeghdf": plant_hdf5, "BonnText": plant_bonn, "ShuMat": plant_shu, "BIDS": plant_bids,
    "ByMne": plant_nedf,
}  # fmt: skip
"""What writes a file of each format, or its reader, with a person in every place that holds text."""
SILENT = ("BonnText", "ByMne", "EGI simple binary", "ShuMat")
"""Formats without annotations of free text."""
READERS = {name: name for name in ("Eeghdf", "BonnText", "ShuMat")} | {
    "ByMne": {"class_path": "ByMne", "init_args": {"pattern": r".+\.nedf"}}
}
"""What a recipe says to have them read."""


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


def written(name, folder):
    folder.mkdir()
    WRITERS[name](folder)
    held = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file()).lower()
    assert any(word.encode() in held for word in PLANTED) or name == "EEGLAB"  # which compresses
    return folder


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_planted_in_a_file_is_in_the_store(name, tmp_path):
    reader = {"reader": READERS[name]} if name in READERS else {}
    summary = brought(written(name, tmp_path / "in"), tmp_path, **reader)
    assert len(summary.added) == 1
    assert len(summary.quarantined) == (name == "BonnText")
    (row,) = open_store(tmp_path / "s.zarr").table.to_dict("records")
    assert row["subject"] == "1" or row["subject"].startswith("sub-1")
    look(tmp_path / "s.zarr")


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in SILENT])
def test_what_is_harmless_beside_what_was_planted_is_kept(name, tmp_path):
    (source, *_) = find_sources(
        [str(written(name, tmp_path / "in"))],
        recipe := Recipe(reader=Component("Eeghdf") if name == "Eeghdf" else None),
    )
    texts = read_recording(source, recipe).annotations.description
    assert len(texts) >= 2
    assert {"rest", "square", "SZ START", "Stimulus/S  1"} & set(texts)
    assert any("Patient" in text and "awake" in text for text in texts)


def test_nothing_planted_is_in_the_quarantine(tmp_path):
    (tmp_path / "in").mkdir()
    plant_fif(tmp_path / "in")
    plant_damaged(tmp_path / "in")
    summary = brought(tmp_path / "in", tmp_path)
    # The .eeg that sub-6.vhdr does not name belongs to nothing.
    assert len(summary.quarantined) == 8
    told = " ".join(open_store(tmp_path / "s.zarr").quarantined.detail)
    for sentence in (
        "its signal 2 spans 0 to 0",
        "none of INT_16",
        "names a file",
        "Data … is not",
    ):
        assert sentence in told
    look(tmp_path / "s.zarr")


PERSYST = "persyst/sub-pt1_ses-02_task-monitor_acq-ecog_run-01_clip2.lay"
SECOND_EPOCH = b"""    <epoch>
        <beginTime>1804000</beginTime>
        <endTime>16024000</endTime>
        <firstBlock>2</firstBlock>
        <lastBlock>2</lastBlock>
    </epoch>
"""
PATCHES = {
    "GDF": ("gdf/kalunga_subject01_run1.gdf", {b"X" + b" " * 19: f"{LAST:<20}".encode()}),
    "Neuroscan CNT": ("cnt/scan41_short.cnt", {b"Unspecified": LAST[:11].encode()}),
    "ANT": ("ant/test_CA_208.cnt", {b"antio test": LAST[:10].encode()}),
    "Persyst": (PERSYST, {
        b"FullName=No_Name": f"FullName={FIRST} {LAST}".encode(),
        b"Physician=": f"Physician={STAFF}".encode(),
        b"ID=0": f"ID={CODE}".encode(),
        b"Clip1": NOTE.replace(",", " ").encode(),
    }),
    "Nicolet": ("nicolet/test_nicolet_raw.data", {b"pat_id=102": b"pat_id=" + CODE[2:].encode()}),
    "Nihon Kohden": ("nihon/MB0400FU.EEG", {
        b"A1+A2 OFF": LAST[:9].encode(), b"Test_no_cap": LAST[:11].encode(), b"2019/01/01": b"1951/05/02",
    }),
    "Curry 8": ("curry/test_bdf_stim_channel Curry 8.cdt", {
        b"DataGuid": f"Subject = {LAST}\n   DataGuid".encode(),
        b"Comments             =": f"Comments             = {NOTE}".encode(),
        b"AmplifierInfo        =": f"AmplifierInfo        = {CODE}".encode(),
        b"# Do not edit!" + 19 * b"\n": f"# Do not edit!\n{18 * f'{NOTE}{chr(10)}'}".encode(),
    }),
    "EGI MFF": (
        "egi/test_egi_multiepoch_eprime.mff", {
            b"</patient>": f"<n>{LAST}</n></patient>".encode(),
            b"<code>CELL": f"<code>{LAST[:4]}".encode(),
            # Its two epochs become one: a recording with a pause is refused.
            b"<endTime>1344000": b"<endTime>15564000", b"<lastBlock>1<": b"<lastBlock>2<",
            SECOND_EPOCH: b"",
        }
    ),
    "CTF": ("ctf/testdata_ctf_short_discontinuous.ds", {b"Anonymized": LAST[:10].encode()}),
    "KIT": ("kit/Example_PQA160C_1001-export_anonymyze.con", {
        b"anonymized": LAST[:10].encode(), b"11122200000000000": f"{CODE}19510502".encode(),
        b"PQA160C": CODE[2:].encode(),
    }),
    "BTi/4D": ("bti/4Dsim/c,rfDC", {
        b"Juelich-II": LAST[:10].encode(),
        b"Calib_29-Jun-07_11:01": f"{STAFF} 02.05.1951".encode(),
        b"eeich" + bytes(5): LAST[:9].encode() + bytes(1),
    }),
    "eXimia": ("eximia/test_eximia.nxe", {}),
}  # fmt: skip
"""For each format a real file, and what is replaced by what in copies of all its files; eXimia's has no
header and no text, so that something is written over its first samples."""


def test_every_format_and_reader_has_a_planted_person():
    readers = {kind.__name__ for kind in Reader.__subclasses__() if "brainfm." in kind.__module__}
    assert {form.name for form in FORMATS} | readers | {"BIDS"} == WRITERS.keys() | PATCHES.keys()
    assert not WRITERS.keys() & PATCHES.keys()


UNITS = {"GDF": 1e3, "EGI MFF": 1e-3}
"""What makes the amplitudes of files plausible that were recorded in a wrong unit, or of no head."""
CODED = ("GDF", "Neuroscan CNT", "KIT", "BTi/4D", "Nicolet", "eXimia")
"""Formats of `PATCHES` whose events are numbers, or that have none: no annotation can name anyone."""


def patched(name, folder):
    """Copy a real recording and plant people in it."""
    file, changes = PATCHES[name]
    (source,) = find_sources([str(DATA / file)])
    top = Path(source.path).parent
    planted = dict.fromkeys(changes, 0)
    for part in map(Path, source.files):
        copy = folder / part.relative_to(top)
        copy.parent.mkdir(parents=True, exist_ok=True)
        data = part.read_bytes()
        for old, new in changes.items():
            planted[old] += data.count(old)
            data = data.replace(old, new)
        copy.write_bytes(data if changes else NOTE.encode() + data[len(NOTE) :])
    assert all(planted.values())
    if name == "CTF":
        keep_one_trial(folder / Path(file).name)
    if name == "ANT":
        # The events of ANT lie beside, in a text of times, samples and codes of eight letters.
        (folder / "test_CA_208.trg").write_text(f"0.001 88\n0.5 500 {LAST[:8]}\n")
    return folder


def keep_one_trial(folder):
    """Cut a CTF folder to its first trial, as its trials have pauses, and add a marker."""
    samples, channels, _ = ctf_trials(folder)
    (resources,), (values,) = folder.glob("*.res4"), folder.glob("*.meg4")
    head = bytearray(resources.read_bytes())
    head[1312:1314] = (1).to_bytes(2, "big")
    resources.write_bytes(head)
    values.write_bytes(values.read_bytes()[: 8 + 4 * samples * channels])
    (folder / "MarkerFile.mrk").write_text(
        f"NUMBER OF MARKERS:\n1\n\nNAME:\n{NOTE}\nNUMBER OF SAMPLES:\n1\n"
        "LIST OF SAMPLES:\nTRIAL NUMBER\t\tTIME FROM SYNC POINT (in seconds)\n 0\t\t2.5\n"
    )


@pytest.mark.data
@pytest.mark.parametrize("name", PATCHES)
def test_nothing_planted_in_a_real_file_is_in_the_store(name, tmp_path):
    (form,) = (form for form in FORMATS if form.name == name)
    recipe = {} if form.typed else {"types": {"*": "eeg"}}
    if name in UNITS:
        recipe |= {"unit_scale": UNITS[name], "unit_reason": "Its amplitude says so."}
    summary = brought(patched(name, tmp_path / "in"), tmp_path, **recipe)
    assert len(summary.added) == 1
    assert not summary.quarantined
    look(tmp_path / "s.zarr")
    store = open_store(tmp_path / "s.zarr")
    texts = store.annotations(store.table.id[0]).description
    assert any(REMOVED in text for text in texts) == (name not in CODED)


@pytest.mark.data
def test_nothing_planted_in_a_cut_recording_is_in_the_quarantine(tmp_path):
    patched("CTF", tmp_path / "in")
    (resources,) = (tmp_path / "in").rglob("*.res4")
    resources.write_bytes(resources.read_bytes()[:1000] + NOTE.encode())
    (quarantined,) = brought_nothing(tmp_path / "in", tmp_path)
    assert quarantined == "truncated"
    look(tmp_path / "s.zarr")


# Labels in files beside a recording


def kinds_of(base):
    return {k for sub in base.__subclasses__() for k in (sub, *kinds_of(sub))}


def write_labels(text, ending):
    def write(folder):
        layouts.write_edf(folder / "sub-1.edf")
        layouts.write(folder / f"sub-1{ending}", text)

    return write


def write_chb_mit(text):
    def write(folder):
        layouts.write_edf(folder / "sub-1.edf")
        layouts.write(folder / f"{folder.name}-summary.txt", text)

    return write


def write_siena(text):
    def write(folder):
        layouts.write_edf(folder / "sub-1.edf")
        layouts.write(folder / "Seizures-list.txt", text)

    return write


def write_hypnogram(folder):
    layouts.write_edf(folder / "SC4001E0-PSG.edf", layouts.PSG)
    marks = [(0, 5, "Sleep stage W"), (5, 5, f"Dr {STAFF}"), (10, 5, NOTE), (15, 5, ODD)]
    edfio.Edf([], annotations=[edfio.EdfAnnotation(*mark) for mark in marks]).write(
        folder / "SC4001EC-Hypnogram.edf"
    )


HEAD = f"# {NOTE}\nchannel,start_time,stop_time,label,confidence\n"
CHB = f"{NOTE}\nFile Name: sub-1.edf\n{NOTE}\nNumber of Seizures in File: 1\n"
SIENA = f"{NOTE}\nFile name: sub-1.edf\n"
LABELLED = {
    "TuhCsv": write_labels(
        f"{HEAD}FP1-F7,1,2,eyem,1\n{FIRST},3,4,bckg,1\n{LAST}-F7,3,4,{STAFF},1\n"
        f'T3-{LAST},5,6,"{NOTE}",1\n,7,8,"{ODD}",1\n',
        ".csv",
    ),
    "TuhTse": write_labels(f"# {NOTE}\n0 1 bckg 1\n2 3 {LAST} 1\n4 5 {CODE} 1\n", ".tse"),
    "TuevRec": write_labels("1,1,2,6\n", ".rec"),
    "ChbMitSummary": write_chb_mit(
        f"{CHB}Seizure Start Time: 2 s {NOTE}\nSeizure End Time: 4 seconds\n"
    ),
    "SienaList": write_siena(
        f"{SIENA}Seizure start time: 0.00.02 {NOTE}\nSeizure end time: 0.00.05\n"
    ),
    "SleepEdfHypnogram": write_hypnogram,
}
"""For each reader of label files what writes one with a person wherever people can write."""

MISTAKEN = {
    "TuhCsv": [
        write_labels(f"{FIRST},{LAST}\n1,2\n", ".csv"),
        write_labels(f"{HEAD}FP1-F7,{LAST},2,eyem,1\n", ".csv"),
        write_labels(f"{HEAD}FP1-F7,1,02.05.1951,eyem,1\n", ".csv"),
        write_labels(f"{HEAD}FP1-F7,5,2,{LAST},1\n", ".csv"),
    ],
    "TuhTse": [
        write_labels(f"1 {LAST}\n", ".tse"),
        write_labels(f"{LAST} 1 bckg 1\n", ".tse"),
        write_labels(f"5 2 {LAST} 1\n", ".tse"),
    ],
    "TuevRec": [
        write_labels(f"1,1,2,{LAST}\n", ".rec"),
        write_labels("1234567,1,2,6\n", ".rec"),
        write_labels("1,1,2,1234567\n", ".rec"),
    ],
    "ChbMitSummary": [write_chb_mit(CHB)],
    "SienaList": [
        write_siena(f"{SIENA}Seizure start time: {NOTE}\nSeizure end time: {LAST}\n"),
        write_siena(f"{SIENA}Seizure start time: 0.00.02\nSeizure end time: 9.99.99 {LAST}\n"),
        write_siena(f"{SIENA}Seizure start time: 0.00.02\nSeizure end time: 0.55.00 {LAST}\n"),
    ],
}
"""For each reader files that cannot be meant as they stand, with a person where the mistake is."""


def test_every_reader_of_label_files_has_a_planted_person():
    inside = {k.__name__ for k in kinds_of(SideFile) if k.__module__.startswith("brainfm.")}
    assert inside - {"SameStem"} == LABELLED.keys()
    # A hypnogram is quoted nowhere: it is MNE that finds it mistaken.
    assert LABELLED.keys() - MISTAKEN.keys() == {"SleepEdfHypnogram"}


@pytest.mark.parametrize("name", LABELLED)
def test_nothing_planted_in_a_label_file_is_in_the_store(name, tmp_path):
    LABELLED[name](tmp_path / "in")
    summary = brought(tmp_path / "in", tmp_path, labels=name)
    assert len(summary.added) == 1
    look(tmp_path / "s.zarr")


def test_the_labels_beside_what_was_planted_are_kept(tmp_path):
    wanted = {
        "TuhCsv": {("eyem", "Fp1-F7"), ("bckg", "…"), ("…", "…-F7")},
        "TuhTse": {("bckg", ""), ("…", "")},
        "SleepEdfHypnogram": {("Sleep stage W", ""), ("Dr …", "")},
    }
    for name, rows in wanted.items():
        LABELLED[name](tmp_path / name)
        recipe = Recipe(labels=Component(name))
        (source,) = attach_side_files(find_sources([str(tmp_path / name)]), recipe)
        marks = read_recording(source, recipe).annotations
        found = {
            (m, *c) if c else (m, "")
            for m, c in zip(marks.description, marks.channels, strict=True)
        }
        assert rows <= found


@pytest.mark.parametrize(
    ("name", "at"), [(n, i) for n, w in MISTAKEN.items() for i in range(len(w))]
)
def test_nothing_planted_in_a_mistaken_label_file_is_in_the_quarantine(name, at, tmp_path):
    MISTAKEN[name][at](tmp_path / "in")
    with pytest.raises(WorkError):
        brought(tmp_path / "in", tmp_path, labels=name)
    quarantined = open_store(tmp_path / "s.zarr").quarantined
    assert quarantined.reason.tolist() == ["bad_labels"]
    assert "…" not in quarantined.detail[0]
    look(tmp_path / "s.zarr")


TUH = """
    null spsw gped pled eybl artf bckg seiz fnsz gnsz spsz cpsz absz tnsz cnsz tcsz atsz mysz nesz intr slow
    eyem chew shiv musc elpp elst calb hphs trip elec eyem_chew eyem_shiv eyem_musc eyem_elec chew_shiv
    chew_musc chew_elec shiv_musc shiv_elec musc_elec
"""
"""The labels of Temple University Hospital's corpora."""


@pytest.mark.parametrize("label", [*TUH.split(), "Sleep stage ?", "Movement time", "seizure"])
def test_the_labels_of_known_data_sets_are_kept(label):
    assert Scrubber().text(label) == label


def brought_nothing(folder, tmp_path):
    with pytest.raises(WorkError):
        brought(folder, tmp_path)
    return open_store(tmp_path / "s.zarr").quarantined.reason.tolist()


# Dates


WHEN = st.datetimes(datetime(1930, 1, 1), datetime(2070, 1, 1))


@given(key=st.binary(min_size=16, max_size=40), first=WHEN, second=WHEN, subject=st.text())
def test_a_subject_s_dates_keep_their_order_and_intervals_and_lie_before_1925(
    key, first, second, subject
):
    shifted = [DateShift(key).shift(when, dataset="a", subject=subject) for when in (first, second)]
    assert shifted[1] - shifted[0] == second - first
    assert max(shifted).year < 1925
    assert shifted[0].time() == first.time()


def test_the_shift_is_the_subject_s_the_data_set_s_and_the_key_s_own():
    keys, people = (bytes(16), bytes(15) + b"1"), [f"{i:02d}" for i in range(50)]
    shifts = {
        DateShift(key).shift(datetime(2000, 1, 1), dataset=dataset, subject=subject)
        for key in keys
        for dataset in "ab"
        for subject in people
    }
    assert len(shifts) > 180  # by chance some fall on one of 36,525 days
    assert "1" not in repr(DateShift(keys[1]))
    assert DateShift(keys[0]).id != DateShift(keys[1]).id


def dated(folder, subject, *whens):
    for run, when in enumerate(whens, start=1):
        raw = raw_of().set_meas_date(when.replace(tzinfo=UTC))
        raw.save(folder / f"sub-{subject}_run-{run}_raw.fif", verbose="ERROR")


def test_shifted_dates_come_into_the_store_and_true_ones_do_not(tmp_path):
    (tmp_path / "in").mkdir()
    night, next_night = datetime(2011, 3, 31, 22, 10, 5), datetime(2011, 4, 14, 23, 0, 0)
    dated(tmp_path / "in", "1", night, next_night)
    dated(tmp_path / "in", "2", night)
    key, store = tmp_path / "dates.key", tmp_path / "s.zarr"
    key.write_bytes(b"a secret of which nobody knows")

    def ingested(**how):
        summary = ingest([str(tmp_path / "in")], store=store, **how)
        opened = open_store(store)
        found = {
            (row.subject, row.run): opened.entry(row.id).provenance.get("date")
            for row in opened.table.itertuples()
        }
        return summary, {who: date and datetime.fromisoformat(date) for who, date in found.items()}

    assert set(ingested()[1].values()) == {None}
    summary, found = ingested(dates=key)
    assert len(summary.added) == 3
    assert found["1", "2"] - found["1", "1"] == next_night - night
    assert found["1", "1"] != found["2", "1"]
    assert found["1", "1"].time() == found["2", "1"].time() == night.time()
    for data in bytes_of(store).values():
        assert not any(word in data for word in (b"2011-0", b"201103", b"nobody knows"))
    assert len(ingested(dates=key)[0].unchanged) == 3
    key.write_bytes(b"another secret of which nobody knows")
    summary, changed = ingested(dates=key)
    assert len(summary.added) == 3
    assert changed["1", "1"] != found["1", "1"]


@pytest.mark.parametrize(
    ("place", "key", "said"),
    [
        ("none.key", None, "There is no date key.*urandom"),
        ("short.key", b"short", "5 bytes where 16"),
        ("s.zarr/in.key", bytes(32), "lies in the store"),
    ],
)
def test_a_key_that_keeps_no_secret_is_a_wrong_call(tmp_path, place, key, said):
    plant_fif(tmp_path)
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    if key is not None:
        path.write_bytes(key)
    with pytest.raises(UsageError, match=said):
        ingest([str(tmp_path / "sub-1_raw.fif")], store=tmp_path / "s.zarr", dates=path)


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
        ("pt Li eyes open", "pt … eyes open"),
        ("Dr. Brown talking", "Dr. … talking"),
        ("Patient Brown awake", "Patient … awake"),
        ("PATIENT BROWN AWAKE", "PATIENT … AWAKE"),
        ("patient brown awake", "patient … awake"),
        ("patient Long eyes closed", "patient … eyes closed"),
        ("Patient: White", "Patient: …"),
        ("Patient_White_Long sleep", "Patient_… sleep"),
        ("Miss Green", "Miss …"),
        ("Name: Small", "…"),
        ("Frau Cross talking", "… talking"),
        ("Mr. Le Long", "Mr. …"),
        ("Mr. van der Long talking", "Mr. … talking"),
        ("John Brown awake", "… awake"),
        ("Miss Li", "Miss …"),
        ("Patient awake", "Patient awake"),
        ("PATIENT AWAKE", "PATIENT AWAKE"),
        ("patient awake", "patient awake"),
        ("green square", "green square"),
        ("Short beep", "Short beep"),
        ("born 1951", "…"),
        ("born in 1951, awake", "…, awake"),
        ("John (1951) awake", "…) awake"),
        ("DOB: 1951", "…"),
        ("2001", "2001"),
        ("S2001", "S2001"),
        ("T1_2_3", "T1_2_3"),
        ("02_05_1951", "…"),
        ("1951:05:02", "…"),
        ("seizure_02_05_1951", "seizure_…"),
        ("02_May_1951", "…"),
        ("2May1951patient Li", "…patient …"),
        ("Müller hustet", "…"),
        ("仰卧", "…"),
        ("02-MAY-1951", "…"),
        ("May 2, 1951", "…"),
        ("1951-05-02", "…"),
        ("geb. 2. 5. 1951", "…"),
        ("02. 05. 1951", "…"),
        ("born 02.05 1951", "…"),
        ("02,05,1951", "…"),
        ("DOB 02|05|1951", "…"),
        ("02\N{NO-BREAK SPACE}05\N{NO-BREAK SPACE}1951", "…"),
        ("1951\N{EN DASH}05\N{EN DASH}02", "…"),
        ("2. 5. 51 awake", "… awake"),
        ("born May 2nd, 1951", "…"),
        ("2nd of May 1951", "…"),
        ("2. Mai 51", "…"),
        ("Prof. Dr. Wu talking", "… talking"),
        ("Dr. A. Wu", "Dr. …"),
        ("Dr A B Wu talking", "Dr … talking"),
        ("Herr Dr. Li", "…"),
        ("Dr. med. Li", "Dr. …"),
        ("Mr. and Mrs. Wu", "Mr. …"),
        ("Patient Dr. Li", "Patient …"),
        ("Patient A. Brown awake", "Patient … awake"),
        ("0.5-70 Hz", "0.5-70 Hz"),
        ("0.5, 10 Hz", "0.5, 10 Hz"),
        ("12.5, 13.5 Hz", "12.5, 13.5 Hz"),
        ("1, 2, 10", "1, 2, 10"),
        ("T1 at 2.5 s, 1.2", "T1 at 2.5 s, 1.2"),
        ("photic 10 Hz 2000 ms", "photic 10 Hz 2000 ms"),
        ("john@clinic.org", "…"),
        ("+49 89 123-4567", "…"),
        ("MCH-0234567", "…"),
    ],
)
def test_words_are_kept_and_people_are_not(text, wanted):
    assert Scrubber().text(text) == wanted


def test_every_word_that_is_a_name_is_one_of_the_vocabulary_s():
    assert SURNAMES < WORDS


@given(st.text(st.characters(categories=("Lu", "Ll", "Lo")), min_size=3, max_size=20))
def test_a_word_that_is_not_in_the_vocabulary_never_stays(word):
    parts = {
        word.casefold(),
        *(p.casefold() for p in re.findall("[A-Z]?[a-z]+|[A-Z]+", word)),
    }
    if not parts & WORDS:
        assert word not in Scrubber().text(f"seizure {word} stop")


SIGNS = st.text(st.sampled_from(" .,-/|_:;\N{EN DASH}\N{NO-BREAK SPACE}"), min_size=1, max_size=3)


@given(when=WHEN, order=st.permutations("md"), first=SIGNS, second=SIGNS, turned=st.booleans())
def test_no_date_in_numbers_stays_whatever_stands_between_them(when, order, first, second, turned):
    part = {"m": f"{when.month:02d}", "d": f"{when.day:02d}"}
    parts = [*(part[letter] for letter in order), f"{when.year}"]
    a, b, c = reversed(parts) if turned else parts
    assert Scrubber().text(f"awake {a}{first}{b}{second}{c} asleep") == "awake … asleep"


PIECES = (
    *"….,-/|&2 ",
    "05",
    "51",
    "1951",
    "2.5",
    "nd",
    "May",
    "Dr.",
    "and ",
    "Mrs ",
    "A.",
    "Li",
    "med. ",
)
PIECES += ("born", "patient ", "Brown", "awake")


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
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


def test_short_names_and_codes_of_the_header_go_where_a_recipe_keeps_all():
    info = mne.create_info(["Fp1"], 200.0, "eeg")
    info["subject_info"] = {"last_name": "Li", "first_name": "Wu", "his_id": "4711", "sex": 1}
    scrubber = Scrubber(find_identity(info), keep=("*",))
    assert scrubber.identity == {"li", "wu", "4711"}
    assert scrubber.text("Li, Wu (4711) listens") == "…, … (…) listens"
    assert scrubber.text("Line 47110") == "Line 47110"
    info["subject_info"] = {"last_name": "X", "first_name": "F", "his_id": "S1 01"}
    assert find_identity(info) == frozenset()


def test_an_error_s_message_quotes_nothing():
    text = redact(
        f"could not convert string to float: '{LAST}' in /home/{LAST}/x.edf, {CODE} 12345678"
    )
    assert not any(word in text.lower() for word in PLANTED)
    assert "could not convert string to float" in text


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (rf"invalid: 'O\'{LAST} \"Bob\" Miller' here", "invalid: … here"),
        (f"Data {LAST.lower()} is not supported", "Data … is not supported"),
        (f"Data {LAST.upper()} is not supported", "Data … is not supported"),
        (f"File doesn't have channel '{LAST}' or 'x'", "File doesn't have channel … or …"),
        ("born 2. 5. 1951 is no number", "… is no number"),
        ("[Errno 28] No space left on device", "[Errno 28] No space left on device"),
        ("cannot reshape array of size 12 into shape (3,5)",) * 2,
        ("Unable to allocate 3.5 GiB for an array with shape (3, 100)",) * 2,
        ("unpack requires a buffer of 4 bytes",) * 2,
        ("NEDF file version 1.4 is unsupported", "… file version 1.4 is unsupported"),
    ],
)
def test_an_error_s_message_keeps_known_words_only(message, wanted):
    assert redact(message) == wanted


@given(st.text(st.characters(categories=("Lu", "Ll", "Lo")), min_size=3, max_size=20))
def test_no_other_word_of_an_error_s_message_stays(word):
    parts = {word.casefold(), *(p.casefold() for p in re.findall("[A-Z]?[a-z]+|[A-Z]+", word))}
    if not parts & (WORDS | MESSAGES):
        assert word not in redact(f"Data {word} is not supported")


def test_a_channel_called_after_a_person_is_numbered(tmp_path):
    plant_fif(tmp_path)
    names = read_recording(str(tmp_path / "sub-1_raw.fif"), Recipe()).sensors.names
    assert names == (*NAMES[:-1], "channel 5")


def test_no_date_is_in_a_recording(tmp_path):
    plant_fif(tmp_path)
    recording = read_recording(str(tmp_path / "sub-1_raw.fif"), Recipe())
    assert recording.annotations.onset.tolist() == [0.0, 1.0, 2.0]
    assert "1951" not in str(recording)
    assert "date" not in recording.provenance


def test_synthetic_recordings_name_nobody():
    assert all(r.subject.isdigit() for r in synthesise(2, seconds=1.0))


def test_a_refusal_names_nobody(tmp_path):
    plant_edf(tmp_path)
    with pytest.raises(Refused) as refused:
        read_recording(str(tmp_path / "sub-1.edf"), Recipe(kinds=("mag",)))
    assert LAST not in refused.value.detail
