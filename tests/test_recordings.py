"""Files become recordings: names, kinds, places, cleaning, and what is refused."""

import contextlib
import os
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainfm.errors import UsageError
from brainfm.recordings.component import Component
from brainfm.recordings.files import identify, read_recording
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe, load_recipe
from brainfm.recordings.recording import KINDS, MODERN
from brainfm.recordings.sensors.labels import normalise_name, template_positions
from brainfm.recordings.sources import find_sources
from brainfm.recordings.synthetic import POSTERIOR, synthesise, write_edf

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample" / "eegmat"
CROP = runpy.run_path(str(ROOT / "sample" / "crop.py"))
FILES = sorted(SAMPLE.glob("*.edf"))
RECIPES = ROOT / "configs" / "datasets"
DATA = Path(os.environ.get("BRAINFM_DATA", ""))
needs_data = [
    pytest.mark.data,
    pytest.mark.skipif("BRAINFM_DATA" not in os.environ, reason="BRAINFM_DATA is not set"),
]
AS_IT_IS = Recipe(l_freq=None, h_freq=None, line_freq=None)


def with_marks(function):
    for mark in needs_data:
        function = mark(function)
    return function


# The sample


def test_sample_is_eight_subjects_in_both_conditions_and_small():
    recipe = load_recipe(RECIPES / "eegmat.yaml")
    found = [identify(str(file), recipe) for file in FILES]
    assert {(who.subject, who.run) for who in found} == {
        (f"{subject:02d}", run) for subject in range(8) for run in "12"
    }
    assert len(FILES) == 16
    assert sum(file.stat().st_size for file in FILES) < 16_000_000


def test_sample_is_readable_and_known_sensor_by_sensor():
    recipe = load_recipe(RECIPES / "eegmat.yaml")
    for file in FILES:
        recording = read_recording(str(file), recipe)
        assert recording.load().shape == (19, 46 * 200)
        assert set(recording.sensors.kind) == {"eeg"}
        assert {"T7", "T8", "P7", "P8"} <= set(recording.sensors.names)
        assert set(recording.sensors.position_source) == {"template"}
        assert np.isfinite(recording.sensors.position).all()


@with_marks
def test_sample_is_the_source_cut_at_a_record_border():
    for file in FILES:
        source = (DATA / "eegmat_arithmetic" / file.name).read_bytes()
        ours = file.read_bytes()
        assert ours == CROP["crop"](source, CROP["RECORDS"])
        size = len(ours)
        assert ours[:236] == source[:236]
        assert ours[244:] == source[244:size]


# Names and kinds


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("EEG FP1-REF", "Fp1"),
        ("EEG Fp1", "Fp1"),
        ("Fp1", "Fp1"),
        ("FP1-LE", "Fp1"),
        ("Fc5.", "FC5"),
        ("Iz..", "Iz"),
        ("T3", "T7"),
        ("EEG T6-AVG", "P8"),
        ("C3-A2", "C3"),
        ("EEG A2-A1", None),
        ("EEG A1-REF", "A1"),
        ("FP1-F7", "Fp1-F7"),
        ("EEG Fpz-Cz", "Fpz-Cz"),
        ("A1-T3", "A1-T7"),
        ("T4 - A2", "T8"),
        ("T8-P8-0", "T8-P8"),
        ("Fp1-1", "Fp1"),
        ("ECG ECG", None),
        ("POL $A1", None),
        ("", None),
    ],
)
def test_names_come_to_one_vocabulary(name, wanted):
    assert normalise_name(name) == wanted


@given(
    name=st.sampled_from(sorted(template_positions("standard_1005"))),
    prefix=st.sampled_from(["", "EEG ", "eeg "]),
    suffix=st.sampled_from(["", ".", "..", "-REF", "-Ref", "-LE", "-AVG"]),
    case=st.sampled_from([str, str.upper, str.lower]),
)
def test_every_electrode_survives_its_decorations(name, prefix, suffix, case):
    assert normalise_name(f"{prefix}{case(name)}{suffix}") == MODERN.get(name, name)


def test_kinds_are_those_of_the_contracts():
    from brainfm.contracts import Kind

    assert tuple(kind.name for kind in Kind) == KINDS


def test_derivations_and_the_heart_are_not_scalp_eeg():
    recipe = Recipe(kinds=("eeg", "ecg", "misc"))
    sensors = read_recording(str(FILES[0]), recipe).sensors
    kind = dict(zip(sensors.names, sensors.kind, strict=True))
    assert kind["EEG A2-A1"] == "misc"
    assert kind["ECG ECG"] == "ecg"
    assert sensors.position_source[sensors.names.index("ECG ECG")] == "none"
    assert sum(k == "eeg" for k in sensors.kind) == 19


def test_two_channels_of_one_name_are_refused(tmp_path):
    path = relabel(FILES[0], tmp_path / "twice.edf", {"EEG T3": "EEG FP1-REF"})
    with pytest.raises(Refused, match=r"EEG Fp1, EEG FP1-REF are all Fp1") as refused:
        read_recording(str(path), AS_IT_IS)
    assert refused.value.reason is Reason.duplicate_channels
    recording = read_recording(str(path), Recipe(drop=("EEG FP1-REF",)))
    assert len(recording.sensors) == 18


def test_recipe_renames_and_types_channels(tmp_path):
    recipe = Recipe(rename={"EEG A2-A1": "Oz"}, types={"ECG ECG": "eeg"}, drop=("Fp1",))
    sensors = read_recording(str(FILES[0]), recipe).sensors
    assert "Oz" in sensors.names
    assert "ECG ECG" in sensors.names
    assert "Fp1" not in sensors.names


def test_positions_of_the_template_are_metres_in_the_head_frame():
    place = template_positions("standard_1005")
    assert place["Cz"][2] > 0.08
    assert place["Oz"][1] < -0.05
    assert place["T7"][0] < -0.05 < 0.05 < place["T8"][0]
    assert np.array_equal(template_positions("standard_1005")["T3"], place["T7"])


def test_unknown_montage_names_the_known_ones():
    with pytest.raises(UsageError, match=r"^The montage 'nowhere' is none of.*biosemi64"):
        read_recording(str(FILES[0]), Recipe(montage="nowhere"))


@with_marks
@pytest.mark.parametrize(
    ("file", "counts", "places"),
    [
        ("sample_audvis_trunc_raw_sss.fif", {"grad_planar": 204, "mag": 102, "eeg": 60}, {"file"}),
        ("triux_bmlhus_erm_raw_sss.fif", {"grad_planar": 204, "mag": 102}, {"none"}),
        ("neuromag122_test_file-raw.fif", {"grad_planar": 122}, {"none"}),
    ],
)
def test_meg_kinds_follow_the_coils(file, counts, places):
    sensors = read_recording(str(DATA / "formats" / "fif" / file), Recipe()).sensors
    assert {kind: sensors.kind.count(kind) for kind in set(sensors.kind)} == counts
    assert set(sensors.position_source) == places
    meg = [i for i, kind in enumerate(sensors.kind) if kind != "eeg"]
    if places == {"file"}:
        assert np.linalg.norm(sensors.orientation[meg], axis=1) == pytest.approx(1, abs=1e-3)
        assert (np.linalg.norm(sensors.position, axis=1) < 0.2).all()
        # A coil lies outside the scalp, its normal is along the way from the head's centre or so.
        assert np.isnan(np.delete(sensors.orientation, meg, axis=0)).all()


# Values


def test_untouched_signal_is_the_file_s(tmp_path):
    (recording, *_) = synthesise(1, seconds=20.0)
    path = write_edf(recording, tmp_path)
    got = read_recording(str(path), AS_IT_IS)
    span = np.ptp(recording.load())
    assert np.abs(got.load() - recording.load()).max() < span / 65535
    assert got.sensors.names == recording.sensors.names
    assert got.annotations.description == ("rhythm",)


def test_synthetic_rhythm_is_where_it_was_planted_and_nowhere_else():
    def band_power(recording):
        freqs = np.fft.rfftfreq(recording.load().shape[1], 1 / recording.sfreq)
        power = np.abs(np.fft.rfft(recording.load())) ** 2
        return np.log(power[:, (freqs > 9) & (freqs < 11)].mean(axis=1))

    back = [name in POSTERIOR for name in synthesise(1, seconds=1.0)[0].sensors.names]
    for seed in range(3):
        rhythm, none = map(band_power, synthesise(1, seconds=60.0, seed=seed))
        assert (rhythm - none)[back].min() > 1
        assert np.abs((rhythm - none)[~np.array(back)]).max() < 1
        rhythm, none = map(band_power, synthesise(1, seconds=60.0, amplitude=0.0, seed=seed))
        assert np.abs(rhythm - none).max() < 1
    first, again = synthesise(2, seconds=2.0, seed=5), synthesise(2, seconds=2.0, seed=5)
    assert all(np.array_equal(a.load(), b.load()) for a, b in zip(first, again, strict=True))


@with_marks
def test_bdf_is_read_with_its_events_and_without_its_status_channel():
    recipe = Recipe(line_freq=None, l_freq=None)
    path = DATA / "formats" / "bdf" / "test.bdf"
    recording = read_recording(str(path), recipe)
    assert recording.sfreq == 200
    assert "Status" not in recording.sensors.names
    assert len(recording.sensors) == 66
    raw = mne.io.read_raw_bdf(path, preload=True, verbose="ERROR").pick(["Fp1"])
    wanted = raw.filter(None, 75, verbose="ERROR").resample(200, verbose="ERROR").get_data()[0]
    got = recording.load()[recording.sensors.names.index("Fp1")]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


@with_marks
def test_annotations_are_kept_with_their_times():
    (path,) = DATA.glob("eegmmidb/**/S001R04.edf")
    recording = read_recording(str(path), load_recipe(RECIPES / "eegmmidb.yaml"))
    assert (recording.subject, recording.run) == ("001", "04")
    assert len(recording.annotations) == 30
    assert set(recording.annotations.description) == {"T0", "T1", "T2"}
    assert recording.annotations.onset[:3] == pytest.approx([0, 4.2, 8.3])
    assert len(recording.sensors) == 64


@with_marks
def test_kalunga_is_refused_for_its_unit_and_mended_by_its_recipe():
    (path,) = DATA.glob("kalunga2016_ssvep/**/subject01_run1_raw.fif")
    with pytest.raises(Refused, match=r"10\^3 times the usual.*1\.0e-3") as refused:
        read_recording(str(path), Recipe()).load()
    assert refused.value.reason is Reason.implausible_amplitude
    recording = read_recording(str(path), load_recipe(RECIPES / "kalunga2016.yaml"))
    assert (recording.subject, recording.run) == ("01", "1")
    assert 1e-6 < recording.load().std() < 1e-4
    # The file's positions are millimetres, which no head has.
    assert set(recording.sensors.position_source) == {"template"}
    marks = recording.annotations
    assert {d: marks.description.count(d) for d in set(marks.description)} == dict.fromkeys(
        ("rest", "13 Hz", "17 Hz", "21 Hz"), 8
    )
    assert marks.onset[0] == pytest.approx(3965 / 256)


def test_events_and_annotations_of_a_fif_count_from_its_first_sample(tmp_path):
    (recording, *_) = synthesise(1, seconds=10.0)
    data = np.vstack([recording.load(), np.zeros(2000)])
    data[-1, 600:610] = 7
    info = mne.create_info([*recording.sensors.names, "STI"], 200.0, ["eeg"] * 19 + ["stim"])
    raw = mne.io.RawArray(data, info, first_samp=4000, verbose="ERROR")
    raw.set_meas_date(1e9)
    raw.set_annotations(mne.Annotations(24.0, 1.0, "late", orig_time=raw.info["meas_date"]))
    raw.save(tmp_path / "sub-a_raw.fif", verbose="ERROR")
    marks = read_recording(str(tmp_path / "sub-a_raw.fif"), AS_IT_IS).annotations
    assert marks.description == ("7", "late")
    assert marks.onset == pytest.approx([3.0, 4.0])


# What is refused


def relabel(source, to, labels):
    data = bytearray(source.read_bytes())
    for old, new in labels.items():
        at = data.index(f"{old:<16}".encode())
        data[at : at + 16] = f"{new:<16}".encode()
    to.write_bytes(data)
    return to


def refusal(path, recipe=AS_IT_IS):
    with pytest.raises(Refused) as refused:
        read_recording(str(path), recipe).load()
    assert str(refused.value).endswith((".", "."))
    return refused.value.reason


@pytest.mark.parametrize("keep", [1, 100, 255, 300, 5000, 5888, 5889, 100_000, 500_001, -1])
def test_a_file_cut_anywhere_is_truncated(tmp_path, keep):
    path = tmp_path / "cut.edf"
    path.write_bytes(FILES[0].read_bytes()[:keep])
    assert refusal(path) is Reason.truncated


def test_mne_would_have_opened_the_truncated_file(tmp_path):
    path = tmp_path / "cut.edf"
    path.write_bytes(FILES[0].read_bytes()[:500_000])
    assert refusal(path) is Reason.truncated
    assert mne.io.read_raw_edf(path, verbose="ERROR").n_times > 0


def test_a_file_whose_recorder_was_stopped_is_read_to_its_last_record(tmp_path):
    data = bytearray(FILES[0].read_bytes())
    data[236:244] = b"-1      "
    path = tmp_path / "stopped.edf"
    path.write_bytes(data)
    assert read_recording(str(path), AS_IT_IS).load().shape[1] == 46 * 200
    path.write_bytes(data[:-100])
    assert refusal(path) is Reason.truncated


def test_text_tools_are_found_out(tmp_path):
    data = FILES[0].read_bytes()
    path = tmp_path / "text.edf"
    path.write_bytes(data.replace(b"\n", b"\r\n"))
    assert refusal(path) is Reason.damaged
    path.write_bytes(data.decode("latin1").encode("utf8"))
    assert refusal(path) is Reason.damaged


@with_marks
@pytest.mark.parametrize("file", ["tefal_utf8/S001R01.edf", "quixotte_crlf/S001R04.edf"])
def test_the_real_destroyed_files_are_found_out(file):
    assert refusal(DATA / "corrupt" / file) is Reason.damaged


@with_marks
def test_a_file_of_annotations_alone_has_no_signal():
    assert refusal(DATA / "formats/edf/SC4001EC-Hypnogram.edf") is Reason.no_signal_channels


@with_marks
def test_a_bipolar_recording_comes_in_by_its_derivations():
    path = next(DATA.glob("epilepsy2bids_clips/**/chb05_01.edf"))
    # The label is there twice, and in these clips, whose samples are noise, the two differ.
    assert refusal(path) is Reason.duplicate_channels
    sensors = read_recording(str(path), Recipe(drop=("T8-P8-1",))).sensors
    assert len(sensors) == 22
    assert sensors.names[:3] == ("Fp1-F7", "F7-T7", "T7-P7")
    assert sensors.reference[:3] == ("F7", "T7", "P7")
    assert set(sensors.position_source) == {"midpoint"}
    place = template_positions("standard_1005")
    np.testing.assert_allclose(sensors.position[0], (place["Fp1"] + place["F7"]) / 2)


def test_a_channel_that_is_there_twice_comes_in_once(tmp_path):
    (recording, *_) = synthesise(1, seconds=20.0)
    signal = recording.load().astype(float)
    signal[1] = signal[0]
    names = ["Fp1", "FP1", *recording.sensors.names[2:]]
    raw = mne.io.RawArray(signal, mne.create_info(names, 200.0, "eeg"), verbose="ERROR")
    for ending, n in (("same", 18), ("differ", None)):
        path = tmp_path / f"{ending}.edf"
        mne.export.export_raw(path, raw, fmt="edf", verbose="ERROR")
        if n is None:
            assert refusal(path) is Reason.duplicate_channels
        else:
            assert len(read_recording(str(path), AS_IT_IS).sensors) == n
        raw._data[1, 10] += 1e-4


@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".fif"])
def test_other_files_under_our_suffixes_are_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"%PDF-1.7 not a recording at all " * 100)
    assert refusal(path) is Reason.unknown_format
    path.write_bytes(b"")
    assert refusal(path) is Reason.empty


def test_short_recordings_are_refused():
    assert refusal(FILES[0], Recipe(min_seconds=47.0)) is Reason.too_short


def test_a_path_that_the_pattern_does_not_know_is_refused():
    assert refusal(FILES[0], Recipe(pattern=r"sub-(?P<subject>\d+)")) is Reason.pattern_mismatch


def test_a_fif_cut_anywhere_is_refused(tmp_path):
    (recording, *_) = synthesise(1, seconds=10.0)
    info = mne.create_info(list(recording.sensors.names), 200.0, "eeg")
    whole = tmp_path / "whole_raw.fif"
    mne.io.RawArray(recording.load(), info, verbose="ERROR").save(whole, verbose="ERROR")
    assert read_recording(str(whole), AS_IT_IS).load().shape == (19, 2000)
    data = whole.read_bytes()
    path = tmp_path / "cut_raw.fif"
    for keep in np.linspace(20, len(data) - 1, 10).astype(int):
        path.write_bytes(data[:keep])
        assert refusal(path) is Reason.truncated


def test_an_interrupted_recording_is_refused(tmp_path):
    (recording, *_) = synthesise(1, seconds=10.0)
    path = write_edf(recording, tmp_path)
    data = path.read_bytes()
    data = data.replace(b"EDF+C", b"EDF+D", 1)
    path.write_bytes(data)
    assert read_recording(str(path), AS_IT_IS).load().shape == (19, 2000)
    assert data.count(b"+7\x14\x14") == 1
    path.write_bytes(data.replace(b"+7\x14\x14", b"+9\x14\x14"))
    assert refusal(path) is Reason.discontinuous


@pytest.mark.parametrize("seed", range(40))
def test_flipped_header_bytes_are_refused_or_read_never_a_crash(tmp_path, seed):
    rng = np.random.default_rng(seed)
    source = write_edf(synthesise(1, seconds=3.0)[0], tmp_path)
    data = bytearray(source.read_bytes())
    for at in rng.integers(0, 256 * 21, size=rng.integers(1, 5)):
        data[at] ^= int(rng.integers(1, 256))
    source.write_bytes(data)
    with contextlib.suppress(Refused):
        recording = read_recording(str(source), Recipe())
        assert recording.load().shape[0] == len(recording.sensors)
        assert np.isfinite(recording.load()).all()


# Finding files and people


def test_sources_are_files_folders_and_globs_each_once(tmp_path):
    for name in ("b/sub-2.EDF", "a/sub-1.edf", "a/notes.txt", "ü with space/sub-3.bdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = find_sources(
        [str(tmp_path), str(tmp_path / "a" / "*.edf"), str(tmp_path / "b/sub-2.EDF")]
    )
    names = [Path(f.path).relative_to(tmp_path).as_posix() for f in found]
    assert names == ["a/sub-1.edf", "b/sub-2.EDF", "ü with space/sub-3.bdf"]


def test_a_link_that_leads_round_ends(tmp_path):
    shutil.copy(FILES[0], tmp_path / "a.edf")
    (tmp_path / "round").symlink_to(tmp_path)
    assert len(find_sources([str(tmp_path)])) == 1


@pytest.mark.parametrize("source", ["nothing/here.edf", "nothing/*.edf"])
def test_a_source_that_is_not_there_is_a_wrong_call(source):
    with pytest.raises(UsageError, match="nothing"):
        find_sources([source])


def test_a_folder_without_recordings_is_a_wrong_call(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UsageError, match="holds no recording"):
        find_sources([str(tmp_path)])


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("sub-01/ses-2/eeg/sub-01_ses-2_task-rest_run-03_eeg.edf", ("01", "2", "03", "rest")),
        ("a/b/night.edf", ("night", None, None, None)),
        ("sub-x/night.edf", ("x", None, None, None)),
    ],
)
def test_people_are_known_by_their_path(path, wanted):
    who = identify(path, Recipe())
    assert (who.subject, who.session, who.run, who.task) == wanted


# Recipes


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_loads_and_says_whom_to_cite(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.citation
    assert recipe.licence
    assert recipe.url


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lowfreq: 1", "unknown key 'lowfreq'; known keys: name,"),
        ("l_freq: low", "l_freq is 'low' \\(str\\); a number or null is wanted"),
        ("sfreq: true", "sfreq is True"),
        ("sfreq: null", "sfreq is None"),
        ("kinds: eeg", "kinds is 'eeg'"),
        ("kinds: [brain]", "'brain'; known kinds: eeg, mag"),
        ("rename: {a: 1}", "rename is"),
        ("events: {one: a}", "events is"),
        ("line_freq: auto", "line_freq is 'auto'"),
        ("h_freq: 100", "edge between 0 and 100 Hz"),
        ("{sfreq: 128, h_freq: 75}", "edge between 0 and 64 Hz"),
        ("{l_freq: 40, h_freq: 30}", "not below"),
        ("unit_scale: 1.0e-6", "unit_reason"),
        ("pattern: '('", "no regular expression"),
        ("pattern: 'a(?P<who>.)'", "'subject' is required"),
        ("[1, 2]", "holds no keys"),
        ("a: [", "is not YAML"),
        ("kinds: []", "kinds is empty"),
        *((f"sfreq: {value}", "a sampling rate above 0") for value in (".inf", ".nan", "-5")),
        *((f"unit_scale: {value}", "a factor above 0") for value in ("0", ".nan", ".inf", "-1")),
        *(
            (f"line_freq: {value}", "of the mains, 10 to 100 Hz")
            for value in ("-50", "0", "0.5", "1000", ".nan", ".inf")
        ),
        *((f"min_seconds: {value}", "0 or more") for value in ("-3", ".nan", ".inf")),
        ("l_freq: 1\nl_freq: 2", "the key l_freq stands in one map 2 times"),
        ("events: {1: a, 2: b, 1: c}", "the key 1 stands in one map 2 times"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(tmp_path, text, message):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_recipe(path)


@pytest.mark.parametrize("pattern", ["sub(?P<subject>x?)", "sub(-1|(?P<subject>x))"])
def test_a_pattern_that_finds_no_subject_fits_no_path(pattern):
    with pytest.raises(Refused, match="no subject") as refused:
        identify("data/sub-1.edf", Recipe(pattern=pattern))
    assert refused.value.reason is Reason.pattern_mismatch


def test_a_reader_s_pattern_that_is_none_is_one_sentence():
    reader = Component("ByMne", {"pattern": "["})
    with pytest.raises(UsageError, match="of the reader ByMne is no regular expression"):
        find_sources([str(FILES[0])], Recipe(reader=reader))


def test_a_reference_may_be_named_as_the_file_names_it(tmp_path):
    (first, *_) = synthesise(1, seconds=10.0)
    recordings = [
        read_recording(str(write_edf(first, tmp_path)), replace(AS_IT_IS, reference=names))
        for names in (("T7", "P8"), ("T3", "EEG T6-REF"), ("t7", "P8"))
    ]
    signals = [recording.load() for recording in recordings]
    for recording, signal in zip(recordings, signals, strict=True):
        assert set(recording.sensors.reference) == {"T7+P8"}
        np.testing.assert_array_equal(signal, signals[0])


def test_the_hash_is_of_what_changes_a_recording():
    recipe = Recipe()
    assert recipe.hash == Recipe(name="x", citation="y").hash
    assert recipe.hash != Recipe(line_freq=50.0).hash
    assert recipe.preprocessing_hash == Recipe(line_freq=50.0).preprocessing_hash
    assert recipe.preprocessing_hash != Recipe(h_freq=70.0).preprocessing_hash
