"""Every format comes in or is refused with the true reason, whole or not at all."""

import os
import re
import shutil
from pathlib import Path

import mne
import numpy as np
import pytest

from brainfm.errors import UsageError
from brainfm.recordings.component import Component
from brainfm.recordings.files import read_recording
from brainfm.recordings.formats.known import FORMATS, UNTRIED, find_format
from brainfm.recordings.formats.whole import check_brainvision, check_persyst, ctf_trials
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Source
from brainfm.recordings.sensors.labels import read_label, template_positions
from brainfm.recordings.sources import find_sources
from brainfm.recordings.synthetic import synthesise

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample" / "eegmat" / "Subject00_1.edf"
DATA = Path(os.environ.get("BRAINFM_DATA", "")) / "formats"
CTF = "ctf/testdata_ctf_short_discontinuous.ds"
SHORT = Recipe(l_freq=None, line_freq=None, min_seconds=0.1)

TABLE = re.findall(
    r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$",
    (ROOT / "docs" / "formats.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
"""file, format, outcome, and sensors or reason, as the documentation has them."""


def outcome(path, recipe=SHORT):
    """Return what became of a recording: its kinds with their numbers, or the reason and the sentence."""
    try:
        recording = read_recording(str(path), recipe)
        signal = recording.load()
    except Refused as error:
        return "refused", f"`{error.reason.value}`: {error.detail}"
    assert np.isfinite(signal).all()
    assert signal.shape == (len(recording.sensors), recording.n_times)
    kinds = recording.sensors.kind
    return "comes in", ", ".join(f"{kinds.count(k)} {k}" for k in dict.fromkeys(kinds))


@pytest.mark.data
@pytest.mark.parametrize(("file", "name", "what", "detail"), TABLE, ids=[row[0] for row in TABLE])
def test_the_table_of_formats_is_true(file, name, what, detail):
    path = DATA / file
    form = find_format(path)
    assert (form.name if form is not None else "–") == name.strip()
    assert outcome(path, Recipe(min_seconds=0.1)) == (what.strip(), detail.strip())


@pytest.mark.data
def test_the_table_has_every_real_file_and_every_format_with_one():
    rows = {file for file, *_ in TABLE}
    assert {s.path.removeprefix(f"{DATA}/") for s in find_sources([str(DATA)])} <= rows
    assert {row[1].strip() for row in TABLE} - {"–"} <= {form.name for form in FORMATS}
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert all(form.name in text for form in FORMATS)


@pytest.mark.data
def test_no_file_is_counted_twice_nor_lost():
    everything = [str(path) for path in DATA.glob("*/*")]
    sources = find_sources(everything)
    opened = [source.files[0] for source in sources]
    assert len(opened) == len(set(opened))
    files = [file for source in sources for file in source.files]
    inside = {str(path) for path in DATA.glob("*/*") if path.is_file()}
    assert inside <= set(files)
    assert {s.path for s in find_sources([str(DATA)])} <= {s.path for s in sources}


@pytest.mark.data
@pytest.mark.parametrize(
    ("part", "owner"),
    [
        ("brainvision/test.vmrk", "brainvision/test.vhdr"),
        ("brainvision/test.eeg", "brainvision/test.vhdr"),
        ("eeglab/eeglab_data.fdt", "eeglab/eeglab_data.set"),
        ("nihon/MB0400FU.PNT", "nihon/MB0400FU.EEG"),
        ("nicolet/test_nicolet_raw.head", "nicolet/test_nicolet_raw.data"),
        ("bti/4Dsim/config", "bti/4Dsim/c,rfDC"),
        (
            "ctf/testdata_ctf_short_discontinuous.ds/BadChannels",
            "ctf/testdata_ctf_short_discontinuous.ds",
        ),
    ],
)
def test_a_part_that_is_named_means_its_recording(part, owner):
    (source,) = find_sources([str(DATA / part)])
    assert source.path == str(DATA / owner)
    assert str(DATA / part) in source.files


CHECKED = ("ant", "bdf", "brainvision", "cnt", "ctf", "eximia", "gdf", "nicolet", "persyst")
"""Formats whose length brainfm checks itself."""


def cut_targets():
    small = ("ant", "bdf/test", "brainvision", "cnt", "curry", "eeglab", "eximia", "gdf", "kit/MQ")
    small += ("nicolet", "nihon/MB0400FU.EEG", "persyst", "ctf", "egi")
    return ["bti/4Dsim/c,rfDC", *(row[0] for row in TABLE if row[0].startswith(small))]


@pytest.mark.data
@pytest.mark.parametrize("file", cut_targets())
def test_a_cut_recording_is_refused_or_whole_never_half(file, tmp_path):
    copy, samples = _continuous_copy(DATA / file, tmp_path)
    recipe = Recipe(
        l_freq=None,
        line_freq=None,
        min_seconds=0.05,
        types={"*": "eeg"} if copy.suffix == ".cnt" else {},
        unit_scale={".gdf": 1e3, ".mff": 1e-3}.get(copy.suffix, 1.0),
        unit_reason="so that the whole file comes in",
    )
    whole = _times(copy, recipe)
    assert whole is not None
    data = samples.read_bytes()
    for keep in np.linspace(0, len(data) - 2, 4).astype(int):
        samples.write_bytes(data[:keep])
        assert _times(copy, recipe) in (None, whole)
    rng = np.random.default_rng(0)
    for _ in range(3):
        flipped = bytearray(data)
        for at in rng.integers(0, min(len(data), 4000), size=2):
            flipped[at] ^= int(rng.integers(1, 256))
        samples.write_bytes(flipped)
        _times(copy, recipe)


@pytest.mark.data
@pytest.mark.parametrize("file", [file for file in cut_targets() if file.startswith(CHECKED)])
def test_the_check_of_a_format_tells_a_cut_file_before_mne_does(file, tmp_path):
    check = find_format(DATA / file).check
    copy, samples = _continuous_copy(DATA / file, tmp_path)
    assert refusal_of(check, copy) is None
    samples.write_bytes(samples.read_bytes()[: samples.stat().st_size // 3 + 1])
    assert refusal_of(check, copy) == "truncated"


def _continuous_copy(path, folder):
    """Copy a recording and return it with the file of its samples; one that was paused is made whole."""
    (source,) = find_sources([str(path)])
    copy = folder / path.name
    if path.is_dir():
        shutil.copytree(path, copy)
    else:
        for part in source.files:
            shutil.copy(part, folder / Path(part).name)
    if path.suffix == ".ds":
        return copy, _of_one_trial(copy)
    if path.suffix == ".mff":
        text = (copy / "epochs.xml").read_text(encoding="utf-8")
        text = text.replace("1804000", "1344000").replace("16024000", "15564000")
        (copy / "epochs.xml").write_text(text, encoding="utf-8")
    return copy, max(filter(Path.is_file, folder.rglob("*")), key=lambda p: p.stat().st_size)


def _of_one_trial(folder):
    """Leave one trial in a CTF folder and return the file of its samples."""
    samples, channels, _ = ctf_trials(folder)
    (resources,), (data,) = folder.glob("*.res4"), folder.glob("*.meg4")
    head = resources.read_bytes()
    resources.write_bytes(head[:1312] + (1).to_bytes(2, "big") + head[1314:])
    data.write_bytes(data.read_bytes()[: 8 + 4 * samples * channels])
    return data


def _times(path, recipe):
    try:
        return read_recording(str(path), recipe).load().shape[1]
    except Refused:
        return None


def test_the_padding_of_an_exported_edf_is_left_out(tmp_path):
    raw = mne.io.read_raw_edf(SAMPLE, preload=True, verbose="ERROR")
    raw.pick(raw.ch_names[:4]).crop(tmax=10.25)
    mne.export.export_raw(tmp_path / "padded.edf", raw, verbose="ERROR")
    exported = mne.io.read_raw_edf(tmp_path / "padded.edf", verbose="ERROR")
    assert exported.n_times > raw.n_times
    recording = read_recording(
        str(tmp_path / "padded.edf"), Recipe(l_freq=None, h_freq=None, line_freq=None, sfreq=500.0)
    )
    assert recording.n_times == raw.n_times
    given = raw.get_data()
    np.testing.assert_allclose(recording.load()[:, :-5], given[:, :-5], atol=2e-7)


def test_a_fif_in_parts_is_one_recording(tmp_path):
    (recording, *_) = synthesise(1, seconds=120.0)
    info = mne.create_info(list(recording.sensors.names), 200.0, "eeg")
    raw = mne.io.RawArray(recording.load(), info, verbose="ERROR")
    path = tmp_path / "long_raw.fif"
    raw.save(path, split_size="2MB", fmt="double", buffer_size_sec=1, verbose="ERROR")
    names = ["long_raw.fif", *sorted(p.name for p in tmp_path.glob("*-*.fif"))]
    assert len(names) > 2
    (source,) = find_sources([str(tmp_path)])
    assert [Path(file).name for file in source.files] == names
    assert find_sources([str(tmp_path / "long_raw-2.fif")]) == [source]
    assert read_recording(source, SHORT).n_times == 24_000
    (tmp_path / "long_raw-1.fif").unlink()
    assert outcome(path)[0] == "refused"


@pytest.mark.parametrize(
    ("naming", "lost"), [("neuromag", "a_raw.fif"), ("bids", "a_split-01_raw.fif")]
)
def test_later_parts_of_a_fif_are_no_recording(tmp_path, naming, lost):
    (recording, *_) = synthesise(1, seconds=120.0)
    info = mne.create_info(list(recording.sensors.names), 200.0, "eeg")
    raw = mne.io.RawArray(recording.load(), info, verbose="ERROR")
    given = {"split_size": "2MB", "fmt": "double", "buffer_size_sec": 1, "split_naming": naming}
    raw.save(tmp_path / "a_raw.fif", verbose="ERROR", **given)
    (tmp_path / lost).unlink()
    sources = find_sources([str(tmp_path)])
    assert sources
    for source in sources:
        with pytest.raises(Refused, match="later part") as refused:
            read_recording(source, SHORT)
        assert refused.value.reason is Reason.incomplete


def test_two_fifs_that_are_only_named_like_parts_are_two(tmp_path):
    (recording, *_) = synthesise(1, seconds=3.0)
    info = mne.create_info(list(recording.sensors.names), 200.0, "eeg")
    raw = mne.io.RawArray(recording.load(), info, verbose="ERROR")
    for name in ("run_raw.fif", "run_raw-1.fif"):
        raw.copy().save(tmp_path / "new_raw.fif", verbose="ERROR")
        (tmp_path / "new_raw.fif").rename(tmp_path / name)
    assert len(find_sources([str(tmp_path)])) == 2


def test_what_nothing_reads_is_refused_with_the_true_reason(tmp_path):
    for name, said in (
        ("a.xdf", "XDF"),
        ("a.lvm", "QuSpin"),
        ("a.h5", "reader"),
        ("a.odd", "No reader"),
    ):
        (tmp_path / name).write_bytes(b"anything")
        with pytest.raises(Refused, match=said) as refused:
            read_recording(str(tmp_path / name), SHORT)
        assert refused.value.reason is Reason.unknown_format


UNTRIED_FILES = {
    "a.fif.gz": b"any", "b.nedf": b"any", "c.ns3": b"any", "LAHC1.ncs": b"any", "d.mefd/x.tmet": b"any",
    "e.dat": b"BCI2000V= 1.1 HeaderLen= 5000", "f.bin": b"any", "sub-1_meg.bin": b"any",
}  # fmt: skip


def test_a_format_that_nobody_tried_is_reported_by_name_and_not_passed_over(tmp_path):
    (tmp_path / "d.mefd").mkdir()
    for name, content in UNTRIED_FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "f.txt").write_text("<start main header>\n")
    (tmp_path / "other.dat").write_bytes(b"no recording")
    (tmp_path / "other.bin").write_bytes(b"no recording")
    sources = find_sources([str(tmp_path)])
    assert {Path(s.path).name for s in sources} == {name.split("/")[0] for name in UNTRIED_FILES}
    assert {find_format(Path(s.path)).name for s in sources} == {form.name for form in UNTRIED}
    for source in sources:
        with pytest.raises(Refused, match=r"no file was at hand|gunzip it") as refused:
            read_recording(source, SHORT)
        assert refused.value.reason is Reason.unknown_format
    listed = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert all(form.name in listed for form in UNTRIED)


def test_streams_and_labview_text_in_a_folder_are_reported_and_stimuli_are_not(tmp_path):
    for name in ("a.xdf", "b.lvm", "stimuli.mat", "features.h5"):
        (tmp_path / name).write_bytes(b"anything")
    assert [Path(s.path).name for s in find_sources([str(tmp_path)])] == ["a.xdf", "b.lvm"]


def test_a_recipe_s_reader_goes_before_a_format_that_nobody_tried(tmp_path, monkeypatch):
    (tmp_path / "nedf_reader.py").write_text(READER.replace(".ours", ".nedf"))
    monkeypatch.syspath_prepend(str(tmp_path))
    values = 1e-5 * np.random.default_rng(0).standard_normal((2, 500)).astype("<f4")
    (tmp_path / "sub-7.nedf").write_bytes(values.tobytes())
    reader = Component("nedf_reader.Ours", {"gain": 1.0})
    recipe = Recipe(reader=reader, l_freq=None, h_freq=None, line_freq=None)
    (source,) = find_sources([str(tmp_path)], recipe)
    assert read_recording(source, recipe).n_times == 1000


def test_a_link_to_content_that_was_not_fetched_is_missing_not_unseen(tmp_path):
    (tmp_path / "sub-1.edf").symlink_to(tmp_path / ".git" / "annex" / "objects" / "x.edf")
    (source,) = find_sources([str(tmp_path)])
    assert outcome(source.path)[1].startswith("`missing`: ")


def test_links_to_equal_bytes_are_two_recordings(tmp_path):
    for name in ("sub-1.edf", "sub-2.edf"):
        (tmp_path / name).symlink_to(SAMPLE)
    assert len(find_sources([str(tmp_path)])) == 2


# Lengths that headers tell


def refusal_of(check, path):
    try:
        check(path)
    except Refused as error:
        return error.reason.value
    return None


@pytest.mark.parametrize(
    ("points", "wanted"), [(1000, None), (1001, "truncated"), (999, "damaged"), ("x", "damaged")]
)
def test_brainvision_is_as_long_as_its_header_says_where_it_does(tmp_path, points, wanted):
    (tmp_path / "a.eeg").write_bytes(bytes(2 * 3 * 1000))
    (tmp_path / "a.vmrk").write_text("[Marker Infos]\nMk1=New Segment,,1,1,0\n")
    (tmp_path / "a.vhdr").write_text(
        "[Common Infos]\nDataFile=a.eeg\nMarkerFile=a.vmrk\nDataFormat=BINARY\n"
        f"NumberOfChannels=3\nDataPoints={points}\n[Binary Infos]\nBinaryFormat=INT_16\n"
    )
    assert refusal_of(check_brainvision, tmp_path / "a.vhdr") == wanted


@pytest.mark.parametrize("line", ["", "MarkerFile=\n", "MarkerFile=\r\n"])
def test_brainvision_needs_no_markers_where_its_header_names_none(tmp_path, line):
    (tmp_path / "a.vmrk").write_text("of another recording")
    header = (
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=a.eeg\n"
        f"{line}DataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=2\n"
        "SamplingInterval=5000\n[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\n"
        "Ch1=Fp1,,0.1,µV\nCh2=Cz,,0.1,µV\n"
    )
    (tmp_path / "a.vhdr").write_text(header, encoding="utf-8", newline="")
    values = 200 * np.random.default_rng(0).standard_normal((1000, 2))
    (tmp_path / "a.eeg").write_bytes(values.astype("<i2").tobytes())
    recording = read_recording(str(tmp_path / "a.vhdr"), SHORT)
    assert (recording.n_times, len(recording.annotations)) == (1000, 0)
    (source,) = find_sources([str(tmp_path / "a.vhdr")])
    assert [Path(file).name for file in source.files] == ["a.vhdr", "a.eeg"]
    (tmp_path / "a.eeg").write_bytes(values.astype("<i2").tobytes()[:-1])
    assert refusal_of(check_brainvision, tmp_path / "a.vhdr") == "truncated"


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        ("0=86395.0\n500=86397.5\n800=86399.1", None),
        ("0=86395.0\n2000=5.0\n", "truncated"),
        ("0=86395.0\n900=-", None),
        ("0=86395.0\n500=86397.6", None),
        ("0=86399.0\n500=1.5", None),
        ("0=86399.0\n500=61.5", "discontinuous"),
        ("", None),
    ],
)
def test_persyst_is_as_long_as_its_layout_and_without_pauses(tmp_path, times, wanted):
    (tmp_path / "a.dat").write_bytes(bytes(2 * 3 * 1000))
    (tmp_path / "a.lay").write_text(
        "[FileInfo]\nFile=a.dat\nSamplingRate=200\nHeaderLength=0\nWaveformCount=3\nDataType=0\n"
        f"[Comments]\n1.0,0.0,0,100,awake\n[SampleTimes]\n{times}\n"
    )
    assert refusal_of(check_persyst, tmp_path / "a.lay") == wanted


# Readers of one's own


READER = """
import mne, numpy as np
from brainfm.recordings.formats.reader import Reader

class Ours(Reader):
    pattern = r".+\\.ours"
    def __init__(self, gain: float = 1.0): self.gain = gain
    def open(self, path):
        data = np.fromfile(path, "<f4").reshape(2, -1).astype(float) * self.gain
        return mne.io.RawArray(data, mne.create_info(["Fp1", "Oz"], 100.0, "eeg"), verbose="ERROR")
"""


def test_a_recipe_names_a_reader_from_outside(tmp_path, monkeypatch):
    (tmp_path / "outside_reader.py").write_text(READER)
    monkeypatch.syspath_prepend(str(tmp_path))
    values = np.random.default_rng(0).standard_normal((2, 500)).astype("<f4")
    (tmp_path / "sub-7.ours").write_bytes(values.tobytes())
    reader = Component("outside_reader.Ours", {"gain": 1e-5})
    recipe = Recipe(reader=reader, l_freq=None, h_freq=None, line_freq=None)
    (source,) = find_sources([str(tmp_path)], recipe)
    recording = read_recording(source, recipe)
    assert (recording.subject, recording.sensors.names) == ("7", ("Fp1", "Oz"))
    assert recording.n_times == 1000
    with pytest.raises(Refused):
        read_recording(source, Recipe())
    with pytest.raises(UsageError, match="no class"):
        find_sources([str(tmp_path)], Recipe(reader=Component("outside_reader.Theirs")))


@pytest.mark.data
def test_clinical_hdf5_comes_in_with_its_calibration_and_notes():
    path = DATA.parent / "eeghdf_clinical" / "absence_epilepsy.eeg.h5"
    recipe = Recipe(reader=Component("Eeghdf"), l_freq=None, h_freq=None, line_freq=None)
    recording = read_recording(str(path), recipe)
    assert {"Fp1", "T7", "O2", "Cz"} <= set(recording.sensors.names)
    marks = recording.annotations
    assert marks.description.count("SZ START") == marks.description.count("SZ END") == 3
    import h5py

    with h5py.File(path) as file:
        digital = file["record-0/signals"][0, :2000].astype(float)
    volts = (digital + 32768) * (3199.902 + 3200) / 65535 * 1e-6 - 3200e-6
    np.testing.assert_allclose(recording.load()[0, :2000], volts, atol=2e-9)


def test_a_text_segment_comes_in_in_volts(tmp_path):
    values = np.round(50 * np.random.default_rng(0).standard_normal(4097)).astype(int)
    path = tmp_path / "Z001.txt"
    path.write_text("\n".join(map(str, values)))
    recipe = Recipe(reader=Component("BonnText"), l_freq=None, line_freq=None)
    recording = read_recording(str(path), recipe)
    assert recording.n_times == round(4097 * 200 / 173.61)
    assert np.std(recording.load()) == pytest.approx(50e-6, rel=0.1)
    path.write_text("Dear Sir,\nno numbers")
    assert outcome(path, recipe)[1].startswith("`unknown_format`: ")


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("import nosuchpackage", "Ours needs the package nosuchpackage, "),
        ("from nosuchpackage.inner import x", "Ours needs the package nosuchpackage, "),
        ("mne.utils._soft_import('nosuch', 'reading', min_version='1.0')", "the package nosuch, "),
    ],
)
def test_a_package_that_is_not_there_is_named(tmp_path, monkeypatch, raised, said):
    module = f"needing_{len(raised)}"
    (tmp_path / f"{module}.py").write_text(
        READER.replace("        data = ", f"        {raised}\n        data = ")
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "a.ours").write_bytes(bytes(800))
    recipe = Recipe(reader=Component(f"{module}.Ours"))
    with pytest.raises(Refused, match=said) as refused:
        read_recording(str(tmp_path / "a.ours"), recipe)
    assert refused.value.reason is Reason.needs_package


# Sensors


LABELS = re.findall(
    r"^\| `([^`]*)` \| ([^|]+) \| ([^|]+) \|$",
    (ROOT / "docs" / "sensors.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


@pytest.mark.parametrize(("label", "name", "reference"), LABELS, ids=[row[0] for row in LABELS])
def test_the_table_of_labels_is_true(label, name, reference):
    found = read_label(label)
    name, reference = name.strip(), reference.strip()
    assert (found.name if found is not None else "–") == name
    if found is not None:
        assert (found.reference or "–") == reference


def _fif(tmp_path, names, **changes):
    data = 1e-5 * np.random.default_rng(0).standard_normal((len(names), 400))
    info = mne.create_info(names, 200.0, "eeg")
    raw = mne.io.RawArray(data, info, verbose="ERROR")
    if "positions" in changes:
        for channel, point in zip(raw.info["chs"], changes["positions"], strict=True):
            channel["loc"][:3] = point
    raw.info["bads"] = changes.get("bads", [])
    path = tmp_path / "sub-1_raw.fif"
    raw.save(path, overwrite=True, verbose="ERROR")
    return read_recording(str(path), SHORT).sensors


def test_positions_in_a_wrong_unit_or_mirrored_give_way_to_the_template(tmp_path):
    names = ["C3", "C4", "Cz", "Oz"]
    true = np.stack([template_positions("standard_1005")[name] for name in names])
    near = _fif(tmp_path, names, positions=true + 0.01)
    assert set(near.position_source) == {"file"}
    np.testing.assert_allclose(near.position, true + 0.01, atol=1e-6)
    for wrong in (1000 * true, true * [-1, -1, 1], 2.5 * true):
        sensors = _fif(tmp_path, names, positions=wrong)
        assert set(sensors.position_source) == {"template"}
        np.testing.assert_allclose(sensors.position, true)


def test_bad_channels_of_the_file_are_marked(tmp_path):
    assert _fif(tmp_path, ["C3", "C4"], bads=["C4"]).bad == (False, True)


def test_a_net_of_egi_is_known_by_its_numbers(tmp_path):
    sensors = _fif(tmp_path, [f"E{i}" for i in range(1, 129)] + ["E129"])
    net = template_positions("GSN-HydroCel-129")
    assert sensors.names[-1] == "Cz"
    assert set(sensors.position_source) == {"template"}
    np.testing.assert_allclose(sensors.position[10], net["E11"])


def test_contacts_called_a1_to_a8_are_no_ears(tmp_path):
    data = 1e-5 * np.random.default_rng(0).standard_normal((9, 400))
    names = [*(f"A{i}" for i in range(1, 9)), "Cz"]
    raw = mne.io.RawArray(data, mne.create_info(names, 200.0, "eeg"), verbose="ERROR")
    mne.export.export_raw(tmp_path / "a.edf", raw, fmt="edf", verbose="ERROR")
    assert read_recording(str(tmp_path / "a.edf"), SHORT).sensors.names == ("Cz",)
    recipe = Recipe(types={"A*": "seeg"}, kinds=("seeg",), min_seconds=0.1)
    assert len(read_recording(str(tmp_path / "a.edf"), recipe).sensors) == 8


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "kind", "source"),
    [
        ("kit/MQKIT_125_2sec.con", "grad_axial", "none"),
        ("kit/Example_PQA160C_1001-export_anonymyze.con", "grad_axial", "file"),
        ("bti/4Dsim/c,rfDC", "mag", "file"),
        ("fif/sample_audvis_trunc_raw_sss.fif", "grad_planar", "file"),
    ],
)
def test_coils_stand_in_the_head_s_frame_in_metres_or_nowhere(file, kind, source):
    recipe = Recipe(kinds=(kind,), l_freq=None, line_freq=None, min_seconds=0.1)
    recording = read_recording(str(DATA / file), recipe)
    sensors = recording.sensors
    assert set(sensors.kind) == {kind}
    assert set(sensors.position_source) == {source}
    assert recording.provenance["compensation"] == 0
    if source == "none":
        assert np.isnan(sensors.position).all()
        return
    # Coils lie around the head, outside of it, and their normals have unit length.
    distance = np.linalg.norm(sensors.position, axis=1)
    assert 0.05 < distance.min() < distance.max() < 0.25
    np.testing.assert_allclose(np.linalg.norm(sensors.orientation, axis=1), 1, atol=1e-3)
    raw = find_format(DATA / file).read(DATA / file)
    trans, channel = (
        raw.info["dev_head_t"]["trans"],
        raw.info["chs"][raw.ch_names.index(_first(raw, kind))],
    )
    np.testing.assert_allclose(
        sensors.position[0], mne.transforms.apply_trans(trans, channel["loc"][:3]), atol=1e-6
    )


def _first(raw, kind):
    picks = {"grad_planar": "grad"}.get(kind, "mag")
    return raw.ch_names[mne.pick_types(raw.info, meg=picks, ref_meg=False)[0]]


@pytest.mark.data
@pytest.mark.parametrize("grade", [0, 1, 3])
def test_compensation_is_recorded_and_changes_no_coil(tmp_path, grade):
    raw = mne.io.read_raw_ctf(DATA / CTF, verbose="ERROR").crop(tmax=0.9).load_data(verbose="ERROR")
    raw.apply_gradient_compensation(grade, verbose="ERROR")
    raw.save(tmp_path / "a_raw.fif", verbose="ERROR")
    recording = read_recording(str(tmp_path / "a_raw.fif"), SHORT)
    assert recording.provenance["compensation"] == grade
    kinds = [kind for kind in recording.sensors.kind if kind != "eeg"]
    assert kinds == ["grad_axial"] * len(mne.pick_types(raw.info, meg=True, ref_meg=False))


@pytest.mark.data
def test_reference_sensors_are_told_from_the_others():
    recipe = Recipe(kinds=("ref_meg",), l_freq=None, line_freq=None, min_seconds=0.1)
    sensors = read_recording(str(DATA / "kit/MQKIT_125_2sec.con"), recipe).sensors
    assert len(sensors) == 3


def test_a_source_names_what_is_opened_first():
    (source,) = find_sources([str(SAMPLE)])
    assert source == Source(str(SAMPLE), (str(SAMPLE),))
