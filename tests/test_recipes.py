"""Recipes: every data set's layout, subjects and labels, from real files or as its documentation has them."""

import importlib
import os
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import edfio
import layouts
import numpy as np
import pytest
import yaml

from brainfm.cli import main
from brainfm.errors import UsageError
from brainfm.recordings.component import Component
from brainfm.recordings.events.clinical import ChbMitSummary
from brainfm.recordings.events.labels import attach_side_files, side_file
from brainfm.recordings.files import identify, read_recording
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe, load_recipe
from brainfm.recordings.sources import find_sources
from brainfm.store import open_store
from brainfm.windows.views import TCP, Tcp

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "configs" / "datasets"
DATA = Path(os.environ.get("BRAINFM_DATA", ""))


def recipe_of(name: str) -> Recipe:
    return load_recipe(RECIPES / f"{name}.yaml")


def read_all(root: Path, recipe: Recipe) -> dict[str, object]:
    """Return every recording below a folder by the name of its file."""
    sources = attach_side_files(find_sources([str(root)]), recipe)
    return {Path(s.path).name: read_recording(s, recipe) for s in sources}


def events(recording) -> list[tuple]:
    marks = recording.annotations
    rows = zip(marks.onset.tolist(), marks.duration.tolist(), marks.description, strict=True)
    return [
        (*(round(x, 6) for x in row[:2]), row[2], names)
        for row, names in zip(rows, marks.channels, strict=True)
    ]


def who(recording) -> tuple:
    return recording.subject, recording.session, recording.run


def refusal(root: Path, recipe: Recipe) -> Refused:
    with pytest.raises(Refused) as caught:
        read_all(root, recipe)
    return caught.value


# ------------------------------------------------------------------ Temple University Hospital


def test_tuab_says_normal_or_abnormal_of_the_whole_recording(tmp_path):
    layouts.tuab(tmp_path)
    found = read_all(tmp_path, recipe_of("tuab"))
    assert {name: (*who(r), *events(r)) for name, r in found.items()} == {
        "aaaaaaaq_s004_t000.edf": ("aaaaaaaq", "s004", "t000", (0, 20, "normal", ())),
        "aaaaaebo_s002_t001.edf": ("aaaaaebo", "s002", "t001", (0, 20, "abnormal", ())),
        "00000768_s003_t000.edf": ("00000768", "s003", "t000", (0, 20, "abnormal", ())),
    }


def test_tuh_s_names_are_electrodes_of_which_the_tcp_montage_is_made(tmp_path):
    layouts.tueg(tmp_path)
    found = read_all(tmp_path, recipe_of("tueg"))
    assert {who(r) for r in found.values()} == {
        ("aaaaaaaa", "s001", "t000"),
        ("00000021", "s004", "t002"),
    }
    for recording in found.values():
        assert set(recording.sensors.names) >= {"Fp1", "T7", "P8", "A1", "A2", "Cz"}
        plan = Tcp().plan(recording.sensors)
        assert plan.coverage == 1
        assert plan.sensors.names == TCP[22]
        assert not events(recording)


def test_tuev_s_events_are_on_derivations(tmp_path):
    layouts.tuev(tmp_path)
    found = read_all(tmp_path, recipe_of("tuev"))
    assert who(found["aaaaaaar_00000001.edf"]) == ("aaaaaaar", None, "aaaaaaar_00000001")
    assert events(found["aaaaaaar_00000001.edf"]) == [
        (1, 1, "bckg", ("A1-T7",)),
        (3.1, 1, "spsw", ("Fp1-F7",)),
        (3.1, 1, "spsw", ("T8-A2",)),
    ]
    assert who(found["bckg_000_a_.edf"])[0] == "000"
    assert events(found["bckg_000_a_.edf"]) == [(0, 1, "bckg", ("P4-O2",))]


def test_tuar_s_labels_are_on_derivations_and_end_with_the_recording(tmp_path):
    layouts.tuar(tmp_path)
    (recording,) = read_all(tmp_path, recipe_of("tuar")).values()
    assert events(recording) == [
        (0, 20, "bckg", ()),
        (1.5, 1.5, "eyem", ("Fp1-F7",)),
        (2, 18, "eyem_musc", ("T7-C3",)),
    ]
    assert recording.provenance["labels"] == {
        "reader": "TuhCsv",
        "files": ["aaaaaaju_s005_t000.csv"],
        "n_labels": 3,
        "n_clipped": 1,
        "n_after_the_end": 0,
    }


def test_tusl_s_labels_are_of_all_channels(tmp_path):
    layouts.tusl(tmp_path)
    (recording,) = read_all(tmp_path, recipe_of("tusl")).values()
    assert who(recording) == ("aaaaaaju", "s001", "t000")
    assert events(recording) == [(0, 7.5, "bckg", ()), (7.5, 10, "slow", ())]


@pytest.mark.parametrize(
    ("name", "suffix", "text", "met"),
    [
        ("tuar", ".csv", "a,b\n1,2\n", "other columns than channel, "),
        ("tuar", ".csv", layouts.CSV.replace("1.5000", "soon"), "in line 7 something else"),
        ("tuar", ".csv", layouts.CSV.replace("1.5000", "nan"), "in line 7 something else"),
        ("tuar", ".csv", layouts.CSV.replace("1.5000", "9.0"), "from 9 to 3 s"),
        ("tuar", ".csv", layouts.CSV + "FP1-F7,1.0\n", "in line 10 fewer columns"),
        ("tusl", ".tse_agg", layouts.TSE + "17.5\n", "in line 5 something else than start, "),
        ("tusl", ".tse_agg", layouts.TSE.replace("17.5000", "-1"), "in line 4 something else"),
        ("tuev", ".rec", "22,1.0,2.0,6\n", "in line 1 a channel that is none of its 22"),
        ("tuev", ".rec", "1,1.0,2.0,7\n", "in line 1 something else than channel, "),
        ("tuev", ".rec", "\0\x01binary", "in line 1 something else"),
    ],
)
def test_a_label_file_without_meaning_sets_the_recording_aside(tmp_path, name, suffix, text, met):
    getattr(layouts, name)(tmp_path)
    for file in tmp_path.rglob(f"*{suffix}"):
        file.write_text(text)
    refused = refusal(tmp_path, recipe_of(name))
    assert refused.reason == Reason.bad_labels
    assert met in refused.detail


@pytest.mark.parametrize("name", ["tuev", "tuar", "tusl", "chb-mit", "siena"])
def test_a_recording_without_its_label_file_is_set_aside(tmp_path, name):
    getattr(layouts, name.replace("-", "_"))(tmp_path)
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.suffix != ".edf":
            file.unlink()
    refused = refusal(tmp_path, recipe_of(name))
    assert refused.reason == Reason.no_labels
    assert "beside it; get the file, or take `labels` out" in refused.detail


# ------------------------------------------------------------------ CHB-MIT


def test_chb_mit_s_summaries_in_all_their_forms(tmp_path):
    layouts.chb_mit(tmp_path)
    found = read_all(tmp_path, recipe_of("chb-mit"))
    assert {name: who(r) for name, r in found.items()} == {
        "chb02_16+.edf": ("chb02", None, "16+"),
        "chb17a_03.edf": ("chb17", "a", "03"),
        "chb17b_57.edf": ("chb17", "b", "57"),
        "chb24_01.edf": ("chb24", None, "01"),
        "chb24_02.edf": ("chb24", None, "02"),
    }
    assert {name: events(r) for name, r in found.items() if events(r)} == {
        "chb17a_03.edf": [(5, 4, "seizure", ())],
        "chb24_01.edf": [(2, 2, "seizure", ()), (11, 4, "seizure", ())],
    }
    assert all(r.provenance["labels"]["reader"] == "ChbMitSummary" for r in found.values())


def test_chb_mit_s_derivations_are_those_of_the_tcp_montage(tmp_path):
    layouts.chb_mit(tmp_path)
    recording = read_all(tmp_path, recipe_of("chb-mit"))["chb24_01.edf"]
    plan = Tcp(16).plan(recording.sensors)
    assert plan.coverage == 1
    assert plan.rows is not None  # chosen, not computed
    # T7-C3 is the sum of the chain over F7, Fp1 and F3; no derivation leads from C3 to Cz.
    assert Tcp(20, min_coverage=0.5).plan(recording.sensors).lost == ("C3-Cz", "Cz-C4")


def test_a_file_that_no_list_of_chb_mit_knows_is_set_aside(tmp_path):
    layouts.chb_mit(tmp_path)
    (tmp_path / "RECORDS-WITH-SEIZURES").unlink()
    refused = refusal(tmp_path / "chb24", recipe_of("chb-mit"))
    assert refused.reason == Reason.no_labels
    assert "RECORDS-WITH-SEIZURES" in refused.detail


def test_a_summary_that_miscounts_is_set_aside(tmp_path):
    layouts.chb_mit(tmp_path)
    path = tmp_path / "chb24/chb24-summary.txt"
    path.write_text(path.read_text().replace("File: 2", "File: 3"))
    assert refusal(tmp_path / "chb24", recipe_of("chb-mit")).reason == Reason.bad_labels


@pytest.mark.data
def test_the_real_summaries_of_chb_mit_are_read():
    folder = DATA / "epilepsy2bids_clips" / "chbmit"
    reader, found = ChbMitSummary(), {}
    files = sorted(folder.rglob("*.edf"))
    for file in files:
        found[file.name] = reader.read(file, reader.find(file))
    seizures = {k: [(e.onset, e.onset + e.duration) for e in v] for k, v in found.items() if v}
    assert seizures["chb05_06.edf"] == [(417, 532)]
    assert seizures["chb08_02.edf"] == [(2670, 2841)]
    assert {
        k[:5]: sum(len(v) for n, v in seizures.items() if n[:5] == k[:5]) for k in seizures
    } == {
        "chb05": 5,
        "chb08": 5,
    }
    recipe = recipe_of("chb-mit")
    recordings = read_all(folder, recipe)
    assert len(recordings) == len(files)
    assert {r.subject for r in recordings.values()} == {"chb05", "chb08"}
    for recording in recordings.values():
        assert Tcp(16).plan(recording.sensors).coverage == 1


# ------------------------------------------------------------------ Siena


def test_siena_s_handwritten_clock_times_are_read(tmp_path):
    layouts.siena(tmp_path)
    found = read_all(tmp_path, recipe_of("siena"))
    assert {name: (*who(r), [(*e[:3],) for e in events(r)]) for name, r in found.items()} == {
        "PN00-1.edf": ("PN00", None, "1", [(1143, 70, "seizure")]),
        "PN00-3.edf": ("PN00", None, "3", [(765, 60, "seizure")]),
        "PN01-1.edf": ("PN01", None, "1", [(10218, 54, "seizure"), (46353, 74, "seizure")]),
        "PN10-2.edf": ("PN10", None, "2", [(613, 51, "seizure")]),
        "PN10-4.5.6.edf": ("PN10", None, "4.5.6", [(2033, 17, "seizure")]),
    }


def test_a_seizure_after_the_recording_s_end_is_not_believed(tmp_path):
    layouts.siena(tmp_path)
    recipe = replace(recipe_of("siena"), labels=Component("SienaList"))
    refused = refusal(tmp_path / "PN00", recipe)
    assert refused.reason == Reason.bad_labels
    assert "from 765 to 4425 s into its 2490 s" in refused.detail


def test_siena_s_seizures_of_recordings_that_are_not_there_are_nobody_else_s(tmp_path):
    layouts.siena(tmp_path)
    whole = read_all(tmp_path, recipe_of("siena"))
    for path in ("PN00/PN00-1.edf", "PN10/PN10-2.edf"):
        (tmp_path / path).unlink()
    rest = read_all(tmp_path, recipe_of("siena"))
    assert set(whole) - set(rest) == {"PN00-1.edf", "PN10-2.edf"}
    for name, recording in rest.items():
        assert events(recording) == events(whole[name])
    (tmp_path / "PN00/PN00-3.edf").rename(tmp_path / "PN00/PN00-7.edf")
    assert refusal(tmp_path / "PN00", recipe_of("siena")).reason == Reason.no_labels


@pytest.mark.parametrize("bad", ["25.58.36", "19.58", "unknown"])
def test_a_clock_time_that_is_none_is_not_believed(tmp_path, bad):
    layouts.siena(tmp_path)
    path = tmp_path / "PN00/Seizures-list-PN00.txt"
    path.write_text(path.read_text().replace("19.58.36", bad))
    assert refusal(tmp_path / "PN00", recipe_of("siena")).reason == Reason.bad_labels


# ------------------------------------------------------------------ Sleep-EDF


def hypnogram(path: Path, stages: list[tuple[float, float, str]]) -> None:
    marks = [edfio.EdfAnnotation(*stage) for stage in stages]
    path.parent.mkdir(parents=True, exist_ok=True)
    edfio.Edf([], annotations=marks).write(path)


def test_sleep_edf_s_hypnogram_is_no_recording_of_its_own(tmp_path):
    night = tmp_path / "sleep-cassette"
    layouts.write_edf(night / "SC4001E0-PSG.edf", layouts.PSG, sfreq=100, seconds=70)
    stages = [(0, 30, "Sleep stage W"), (30, 30, "Sleep stage 4"), (60, 900, "Sleep stage ?")]
    hypnogram(night / "SC4001EC-Hypnogram.edf", [*stages, (960, 30, "Sleep stage W")])
    layouts.write_edf(night / "SC4002E0-PSG.edf", layouts.PSG, sfreq=100, seconds=70)
    hypnogram(night / "SC4002EC-Hypnogram.edf", [(0, 70, "Movement time")])
    found = read_all(tmp_path, recipe_of("sleep-edf"))
    assert {name: who(r) for name, r in found.items()} == {
        "SC4001E0-PSG.edf": ("SC400", "1", None),
        "SC4002E0-PSG.edf": ("SC400", "2", None),
    }
    first = found["SC4001E0-PSG.edf"]
    assert first.sensors.names == ("Fpz-Cz", "Pz-Oz")
    assert [e[:3] for e in events(first)] == [
        (0, 30, "Sleep stage W"),
        (30, 30, "Sleep stage 4"),
        (60, 10, "Sleep stage ?"),
    ]
    assert first.provenance["labels"]["n_clipped"] == 1
    assert first.provenance["labels"]["n_after_the_end"] == 1
    (night / "SC4002EC-Hypnogram.edf").unlink()
    assert refusal(tmp_path, recipe_of("sleep-edf")).reason == Reason.no_labels


@pytest.mark.data
def test_a_real_hypnogram_is_read_as_it_is(tmp_path):
    shutil.copy(DATA / "formats" / "edf" / "SC4001EC-Hypnogram.edf", tmp_path)
    layouts.write_edf(tmp_path / "SC4001E0-PSG.edf", layouts.PSG[:2], sfreq=1, seconds=79500)
    (recording,) = read_all(tmp_path, recipe_of("sleep-edf")).values()
    marks = recording.annotations
    assert set(marks.description) >= {f"Sleep stage {x}" for x in ("W", "1", "2", "3", "4", "R")}
    assert (marks.onset[0], marks.duration[0], marks.description[0]) == (0, 30630, "Sleep stage W")
    np.testing.assert_allclose(marks.onset[1:], (marks.onset + marks.duration)[:-1])
    assert recording.provenance["labels"]["n_labels"] == len(marks)


# ------------------------------------------------------------------ the whole way


def test_labels_come_into_the_store_and_changed_ones_come_again(tmp_path, capsys):
    layouts.tuar(tmp_path / "data")
    side = tmp_path / "data/edf/01_tcp_ar/aaaaaaju_s005_t000.csv"
    call = [
        "ingest",
        str(tmp_path / "data"),
        "--store",
        str(tmp_path / "s.zarr"),
        "--recipe",
        "tuar",
    ]
    assert main(call) == 0
    store = open_store(tmp_path / "s.zarr")
    (id,) = store.table.id
    marks = store.annotations(id)
    assert marks.channels == ((), ("Fp1-F7",), ("T7-C3",))
    assert marks.description == ("bckg", "eyem", "eyem_musc")
    assert main(call) == 0
    assert "(0 new)" in capsys.readouterr().out
    side.write_text(side.read_text().replace("eyem,", "chew,"))
    assert main(call) == 0
    store = open_store(tmp_path / "s.zarr")
    (id,) = store.table.id
    assert store.annotations(id).description == ("bckg", "chew", "eyem_musc")


def test_a_missing_label_file_is_told_by_status_and_the_rest_comes_in(tmp_path, capsys):
    layouts.tuev(tmp_path / "data")
    (tmp_path / "data/edf/eval/000/bckg_000_a_.rec").unlink()
    call = [
        "ingest",
        str(tmp_path / "data"),
        "--store",
        str(tmp_path / "s.zarr"),
        "--recipe",
        "tuev",
    ]
    assert main(call) == 0
    assert "1 no_labels" in capsys.readouterr().out


READER = '''
from brainfm.recordings.events.side import Event, SideFile

class Notes(SideFile):
    """A reader of somebody else's."""

    def __init__(self, ending=".txt"):
        self.ending = ending

    def find(self, recording):
        path = recording.with_suffix(self.ending)
        return (path,) if path.is_file() else ()

    def wanted(self, recording):
        return recording.stem + self.ending

    def read(self, recording, files):
        return [Event(1.0, 2.0, files[0].read_text().strip())]
'''


def test_a_reader_of_somebody_else_s_is_named_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "mylab_notes.py").write_text(READER)
    monkeypatch.syspath_prepend(tmp_path)
    layouts.write_edf(tmp_path / "data" / "a.edf")
    layouts.write(tmp_path / "data" / "a.note", "asleep")
    path = tmp_path / "r.yaml"
    spec = {"class_path": "mylab_notes.Notes", "init_args": {"ending": ".note"}}
    path.write_text(yaml.safe_dump({"labels": spec}))
    recipe = load_recipe(path)
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    (recording,) = read_all(tmp_path / "data", recipe).values()
    assert events(recording) == [(1, 2, "asleep", ())]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("TuhCvs", "known: TuhCsv, TuhTse, TuevRec, ChbMitSummary, SienaList, SleepEdfHypnogram"),
        ({"class_path": "TuhCsv", "init_args": {"suffix": ".csv"}}, "known arguments: suffixes"),
        ("pathlib.Path", "is no SideFile"),
    ],
)
def test_a_mistaken_reader_is_one_sentence(labels, said, tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({"labels": labels}))
    with pytest.raises(UsageError, match=said):
        side_file(load_recipe(path))


@pytest.mark.parametrize("labels", [3, [], {"class": "TuhCsv"}, {"class_path": 3}])
def test_labels_of_another_shape_are_refused(labels, tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({"labels": labels}))
    with pytest.raises(UsageError, match="is wanted"):
        load_recipe(path)


def test_what_is_said_of_a_data_set_changes_no_recording():
    recipe = recipe_of("siena")
    assert replace(recipe, subjects=3, access="x", files="y", citation="z").hash == recipe.hash
    assert replace(recipe, labels=None).hash != recipe.hash


# ------------------------------------------------------------------ paths without files


@pytest.mark.parametrize(
    ("name", "path", "wanted"),
    [
        ("bonn", "B_O/O001.txt", ("O001", None, None, None, "O")),
        ("bonn", "C/N100.TXT", ("N100", None, None, None, "N")),
        (
            "hbn",
            "ds005505/sub-NDARAC904DMU/eeg/sub-NDARAC904DMU_task-symbolSearch_run-1_eeg.set",
            ("NDARAC904DMU", None, "1", "symbolSearch", None),
        ),
        (
            "cam-can",
            "aamod_meg_maxfilt_00002/sub-CC110033/mf2pt2_sub-CC110033_ses-rest_task-rest_meg.fif",
            ("CC110033", "rest", None, "rest", None),
        ),
        (
            "sleep-edf",
            "sleep-telemetry/ST7011J0-PSG.edf",
            ("ST701", "1", None, None, None),
        ),
        (
            "bnci2014-001",
            "moabb:BNCI2014_001/sub-3_ses-0train_run-5",
            ("3", "0train", "5", None, None),
        ),
    ],
)
def test_the_path_says_who_and_what(name, path, wanted):
    found = identify(path, recipe_of(name))
    assert (found.subject, found.session, found.run, found.task, found.label) == wanted


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.stem)
def test_a_recipe_says_whom_to_cite_and_under_which_terms(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.citation
    assert recipe.licence
    assert recipe.url.startswith("https://")
    assert recipe.files
    assert recipe.subjects > 0
    filtered = recipe.name != "shu-mi"  # trials that the published files hold one by one
    assert recipe.line_freq in ((50, 60) if filtered else (None,))


# ------------------------------------------------------------------ MOABB

MADE = '''
import mne, numpy as np
from moabb.datasets.base import BaseDataset

class Made(BaseDataset):
    """Two people, two sessions, two runs; hands imagined from 1 to 3 s after a trigger."""

    folder = None
    loads = 0

    def __init__(self):
        super().__init__([1, 2], 2, {"left_hand": 1, "right_hand": 2}, "Made", [1, 3], "imagery")

    def _get_single_subject_data(self, subject):
        type(self).loads += 1
        return {s: {r: self._run(subject, i) for r, i in (("0", 0), ("1", 1))} for s in ("0train", "1test")}

    def _run(self, subject, seed):
        rng = np.random.default_rng([subject, seed])
        data = rng.normal(size=(4, 2000)) * 2e-5
        data[3] = 0
        data[3, [200, 800]] = (1, 2)
        info = mne.create_info(["C3", "Cz", "C4", "stim"], 100.0, ["eeg"] * 3 + ["stim"])
        return mne.io.RawArray(data, info, verbose="ERROR")

    def data_path(self, subject, *args, **kwargs):
        return [[str(self.folder / f"{subject}.mat")], self.folder / f"session {subject}"]
'''


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A data set of MOABB's kind, with a file and a folder for each person."""
    pytest.importorskip("moabb")
    name = f"made_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MADE)
    monkeypatch.syspath_prepend(tmp_path)
    kind = importlib.import_module(name).Made
    kind.folder = tmp_path / "downloads"
    for subject in (1, 2):
        layouts.write(kind.folder / f"{subject}.mat", "bytes")
        layouts.write(kind.folder / f"session {subject}" / "b.mat", f"bytes of {subject}")
    return f"moabb:{name}.Made", kind


def test_moabb_s_runs_are_recordings(made):
    name, kind = made
    sources = find_sources([name])
    assert [s.path.removeprefix(name) for s in sources] == [
        f"/sub-{subject}_ses-{session}_run-{run}"
        for subject in (1, 2)
        for session in ("0train", "1test")
        for run in "01"
    ]
    assert [Path(f).name for f in sources[0].files] == ["1.mat", "b.mat"]
    before = kind.loads
    found = [read_recording(s, recipe_of("bnci2014-001")) for s in sources]
    assert kind.loads == before + 2  # a person once, not a run
    assert [who(r) for r in found[:3]] == [
        ("1", "0train", "0"),
        ("1", "0train", "1"),
        ("1", "1test", "0"),
    ]
    for recording in found:
        assert recording.sensors.names == ("C3", "Cz", "C4")
        assert events(recording) == [(3, 2, "left_hand", ()), (9, 2, "right_hand", ())]
    assert find_sources([f"{name}/2"]) == sources[4:]


def test_moabb_s_data_come_into_the_store_once(made, tmp_path, capsys, monkeypatch):
    name, _ = made
    call = ["ingest", f"{name}/1", "--store", str(tmp_path / "s.zarr"), "--recipe", "bnci2014-001"]
    assert main(call) == 0
    assert set(open_store(tmp_path / "s.zarr").table.session) == {"0train", "1test"}
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(call) == 0
    assert "4 recordings (0 new)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("moabb:BNCI2099_001", "MOABB has no data set 'BNCI2099_001'"),
        ("moabb:nowhere.Made", "needs nowhere, which is not installed"),
        ("moabb:{made}/3", r"has no people \[3\]; it has 1 to 2"),
        ("moabb:{made}/one", "write them as moabb:BNCI2014_001/1,4-6"),
    ],
)
def test_what_moabb_does_not_have_is_one_sentence(made, given, said):
    with pytest.raises(UsageError, match=said):
        find_sources([given.replace("moabb:{made}", made[0])])


def test_people_whom_moabb_cannot_get_are_named(made):
    name, kind = made
    shutil.rmtree(kind.folder)
    with pytest.raises(UsageError, match=r"names no file of person 1"):
        find_sources([name])


@pytest.mark.data
def test_a_real_data_set_through_moabb_is_that_of_its_files(tmp_path, monkeypatch):
    pytest.importorskip("moabb")
    shutil.copytree(
        DATA / "kalunga2016_ssvep" / "MNE-ssvepexo-data", tmp_path / "MNE-ssvepexo-data"
    )
    monkeypatch.setenv("MNE_DATASETS_SSVEPEXO_PATH", str(tmp_path))
    monkeypatch.setenv("MOABB_DOWNLOAD_PROVIDER", "upstream")
    recipe = recipe_of("kalunga2016")
    sources = find_sources(["moabb:Kalunga2016/2"])
    assert len(sources) == 2
    ours = read_recording(str(next(tmp_path.rglob("subject02_run1_raw.fif"))), recipe)
    theirs = read_recording(sources[0], recipe)  # whose pattern is of the files' names
    assert (theirs.subject, theirs.session, theirs.run) == ("2", "0", "0")
    assert theirs.sensors.names == ours.sensors.names
    np.testing.assert_allclose(theirs.load(), ours.load(), rtol=1e-5, atol=1e-12)
    # MOABB's trials are from 2 to 4 s after the trigger.
    wanted = [onset + 2 for onset in ours.annotations.onset]
    np.testing.assert_allclose(theirs.annotations.onset, wanted, atol=1 / 256)
    assert set(theirs.annotations.description) == {"rest", "13", "17", "21"}


# ------------------------------------------------------------------ real files, the whole way


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "files", "wanted"),
    [
        (
            "eegmmidb",
            ["eegmmidb/**/S001R04.edf", "eegmmidb/**/S088R04.edf"],
            {("001", None, "04"): {"T0", "T1", "T2"}, ("088", None, "04"): {"T0", "T1", "T2"}},
        ),
        ("eegmat", ["eegmat_arithmetic/Subject03_2.edf"], {("03", None, "2"): set()}),
        (
            "kalunga2016",
            ["kalunga2016_ssvep/**/subject03_run1_raw.fif"],
            {("03", None, "1"): {"rest", "13 Hz", "17 Hz", "21 Hz"}},
        ),
    ],
)
def test_real_recordings_come_in_with_their_labels(name, files, wanted, tmp_path):
    sources = [str(path) for pattern in files for path in DATA.glob(pattern)]
    assert main(["ingest", *sources, "--store", str(tmp_path / "s.zarr"), "--recipe", name]) == 0
    store = open_store(tmp_path / "s.zarr")
    found = {
        (row.subject, row.session, row.run): {
            text for text in store.annotations(row.id).description if not text.startswith("BAD_")
        }
        for row in store.table.itertuples()
    }
    assert {key: texts & wanted[key] for key, texts in found.items()} == wanted
    assert set(store.table.dataset) == {name}


@pytest.mark.data
def test_bonn_s_segments_come_in_with_their_set(tmp_path):
    with zipfile.ZipFile(DATA / "bonn_epilepsy" / "bonn_dev.zip") as archive:
        names = [n for n in archive.namelist() if n.lower().endswith("01.txt")]
        archive.extractall(tmp_path / "bonn", names)
    call = [
        "ingest",
        str(tmp_path / "bonn"),
        "--store",
        str(tmp_path / "s.zarr"),
        "--recipe",
        "bonn",
    ]
    assert main(call) == 0
    store = open_store(tmp_path / "s.zarr")
    found = {row.subject: store.annotations(row.id) for row in store.table.itertuples()}
    assert {s[0] for s in found} == set("ZONFS")
    for subject, marks in found.items():
        whole = list(marks.description).index(subject[0])
        assert marks.onset[whole] == 0
        assert marks.duration[whole] == pytest.approx(4097 / 173.61)


def test_hbn_s_net_is_known_by_its_numbers(tmp_path):
    layouts.hbn(tmp_path)
    (recording,) = read_all(tmp_path, recipe_of("hbn")).values()
    assert who(recording) == ("NDARAC904DMU", None, None)
    assert recording.task == "RestingState"
    assert len(recording.sensors) == 129
    assert set(recording.sensors.names) >= {"E1", "E128", "Cz"}
    assert np.isfinite(recording.sensors.position).all()
    assert "instructed_toOpenEyes" in recording.annotations.description


@pytest.mark.data
def test_cam_can_s_sensors_are_those_of_a_vectorview(tmp_path):
    path = tmp_path / "sub-CC110033" / "mf2pt2_sub-CC110033_ses-rest_task-rest_meg.fif"
    path.parent.mkdir()
    shutil.copy(DATA / "formats" / "fif" / "sample_audvis_trunc_raw_sss.fif", path)
    (recording,) = read_all(tmp_path, recipe_of("cam-can")).values()
    assert (*who(recording), recording.task) == ("CC110033", "rest", None, "rest")
    kinds = recording.sensors.kind
    assert set(kinds) == {"mag", "grad_planar"}
    assert kinds.count("grad_planar") == pytest.approx(2 * kinds.count("mag"), abs=4)
    assert np.isfinite(recording.sensors.orientation).all()


# ------------------------------------------------------------------ the table in the docs

TRIED = {
    "eegmat": "real recordings (8 people)",
    "eegmat-20": "real recordings (8 people)",
    "eegmmidb": "real recordings (11 people)",
    "kalunga2016": "real recordings (5 people)",
    "bonn": "real segments",
    "eeghdf": "a real recording",
    "chb-mit": "real summaries, clips of 2 s; chb17 and chb24 as documented",
    "sleep-edf": "a real hypnogram, made-up signals",
    "bnci2014-001": "a made-up data set of MOABB's kind, and Kalunga2016 through MOABB",
    "bnci2014-004": "as bnci2014-001",
    "cam-can": "a real VectorView file under its name",
}


def labels_of(recipe: Recipe) -> str:
    if recipe.labels is not None:
        return f"`{recipe.labels.class_path}`"
    if "<label>" in (recipe.pattern or ""):
        return "the path, of the whole recording"
    if recipe.name == "tueg":
        return "none"
    return {"eegmat": "the run", "eegmat-20": "the run", "cam-can": "stimulus channel, task"}.get(
        recipe.name, "annotations and events in the file"
    )


def test_the_table_of_data_sets_is_true():
    rows = []
    for path in sorted(RECIPES.glob("*.yaml")):
        recipe = load_recipe(path)
        access = "" if recipe.access == "open" else f"; {recipe.access}"
        tried = TRIED.get(recipe.name, "a layout as documented, made-up signals")
        rows.append(
            f"| [{recipe.name}]({recipe.url}) | {recipe.subjects:,} | {labels_of(recipe)} | "
            f"{recipe.licence}{access} | {tried} |"
        )
    text = (ROOT / "docs" / "datasets.md").read_text()
    missing = [row for row in rows if row not in text.splitlines()]
    assert not missing, "put these rows into docs/datasets.md:\n" + "\n".join(missing)
    assert sum(line.startswith("| [") for line in text.splitlines()) == len(rows)


def test_every_reader_of_labels_is_in_the_docs():
    text = (ROOT / "docs" / "datasets.md").read_text()
    with pytest.raises(UsageError, match="known: ") as caught:
        side_file(Recipe(labels=Component("?")))
    names = str(caught.value).partition("known: ")[2].split(", or any")[0].split(", ")
    assert len(names) == 6
    assert [n for n in names if f"`{n}`" not in text] == []
