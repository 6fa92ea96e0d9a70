"""Views: other channels of the same recording, never made up in silence."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from brainfm.cli import main
from brainfm.errors import UsageError
from brainfm.evaluation import RecordingLabels, Task
from brainfm.evaluation.report.motifs import open_motifs
from brainfm.evaluation.report.occurrences import channel_rows
from brainfm.recordings.cleaning.spline import fit_origin, spline_matrix
from brainfm.recordings.recording import Sensors
from brainfm.recordings.sensors.labels import template_positions
from brainfm.recordings.synthetic import CH_NAMES
from brainfm.store import open_store
from brainfm.store.tokens import TokenStore, open_tokens
from brainfm.tokenizers.montage_patches import TCP as FEMBA
from brainfm.windows.description import describe_coverage, describe_view, view_in, view_of
from brainfm.windows.interpolation import Interpolate
from brainfm.windows.reader import WindowReader
from brainfm.windows.sampler import Place
from brainfm.windows.views import (
    TCP,
    Bipolar,
    Chain,
    Native,
    OfKinds,
    Rename,
    Select,
    Tcp,
    View,
)

PLACES = template_positions("standard_1005")
CONFIGS = Path(__file__).parents[1] / "configs"
EARS = (*CH_NAMES, "A1", "A2")


def electrodes(names=CH_NAMES, reference=None, bad=()) -> Sensors:
    n = len(names)
    return Sensors(
        names=tuple(names),
        kind=("eeg",) * n,
        position=np.stack([PLACES[name] for name in names]),
        orientation=np.full((n, 3), np.nan),
        position_source=("template",) * n,
        reference=(reference,) * n,
        bad=tuple(name in bad for name in names),
    )


def derivations(pairs) -> Sensors:
    n = len(pairs)
    middle = [(PLACES[a] + PLACES[b]) / 2 for a, b in (p.split("-") for p in pairs)]
    return Sensors(
        names=tuple(pairs),
        kind=("eeg",) * n,
        position=np.stack(middle),
        orientation=np.full((n, 3), np.nan),
        position_source=("midpoint",) * n,
        reference=tuple(p.split("-")[1] for p in pairs),
    )


def potentials(names, seed=0) -> dict[str, np.ndarray]:
    """Return what each electrode's potential would be against infinity, in volts."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=50) * 1e-5 for name in names}


def measured(sensors: Sensors, truth, shared=None) -> np.ndarray:
    """Return what an amplifier gives whose channels have these references."""
    zero = np.zeros(50) if shared is None else shared
    rows = [
        truth[name.split("-")[0]] - (zero if reference is None else truth[reference])
        for name, reference in zip(sensors.names, sensors.reference, strict=True)
    ]
    return np.stack(rows).astype(np.float32)


# ------------------------------------------------------------------ kinds


def test_a_view_of_kinds_chooses_and_refuses_what_would_give_nothing():
    sensors = replace(electrodes(("C3", "C4", "Cz")), kind=("eeg", "eog", "eeg"))
    assert OfKinds(("eeg", "mag")).plan(sensors).sensors.names == ("C3", "Cz")
    with pytest.raises(UsageError, match=r"s1 has no sensors of the kinds \['mag'\] \(it has"):
        OfKinds(("mag",)).plan(sensors, where="s1")
    with pytest.raises(UsageError, match=r"no sensor kinds \['megg'\]; known: eeg, mag"):
        OfKinds(("eeg", "megg"))


# ------------------------------------------------------------------ bipolar derivations


@given(
    pairs=st.lists(
        st.tuples(st.sampled_from(EARS), st.sampled_from(EARS)).filter(lambda p: p[0] != p[1]),
        min_size=1,
        max_size=12,
        unique=True,
    ),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40)
def test_a_derivation_is_the_difference_whatever_the_reference(pairs, seed):
    view, truth = Bipolar(tuple(f"{a}-{b}" for a, b in pairs)), potentials(EARS, seed)
    wanted = np.stack([truth[a] - truth[b] for a, b in pairs])
    reference = np.random.default_rng(seed).normal(size=50) * 1e-5
    sensors = electrodes(EARS)
    for shared in (None, reference):
        plan = view.plan(sensors)
        np.testing.assert_allclose(plan.apply(measured(sensors, truth, shared)), wanted, atol=1e-10)
        assert plan.present.all()
        assert plan.coverage == 1


def test_referential_and_native_bipolar_recordings_give_the_same():
    truth = potentials(EARS)
    referential, native = electrodes(EARS), derivations(TCP[22])
    ours = Tcp().plan(referential)
    theirs = Tcp().plan(native)
    np.testing.assert_allclose(
        ours.apply(measured(referential, truth, truth["Cz"])),
        theirs.apply(measured(native, truth)),
        atol=1e-10,
    )
    assert theirs.rows == tuple(range(22))
    assert ours.sensors.names == theirs.sensors.names == TCP[22]
    assert ours.sensors.reference == theirs.sensors.reference
    np.testing.assert_allclose(ours.sensors.position, theirs.sensors.position, atol=1e-12)
    assert set(ours.sensors.position_source) == {"midpoint"}


def test_derivations_are_found_along_a_chain_and_against_the_direction_they_were_measured():
    sensors, truth = derivations(("Fp1-F7", "T7-F7", "T7-P7", "Cz-C3")), potentials(EARS)
    plan = Bipolar(("Fp1-P7", "F7-T7", "C3-Cz")).plan(sensors)
    assert plan.matrix.tolist() == [[1, -1, 1, 0], [0, -1, 0, 0], [0, 0, 0, -1]]
    wanted = [truth["Fp1"] - truth["P7"], truth["F7"] - truth["T7"], truth["C3"] - truth["Cz"]]
    np.testing.assert_allclose(plan.apply(measured(sensors, truth)), wanted, atol=1e-10)


def test_electrodes_against_unlike_references_are_not_subtracted():
    # C3 against A2 less C4 against A1 is not C3-C4.
    sensors = replace(electrodes(("C3", "C4", "O1")), reference=("A2", "A1", "A2"))
    with pytest.raises(UsageError, match=r"lacks C3-C4 \(it has C3, C4, O1\)"):
        Bipolar(("C3-O1", "C3-C4")).plan(sensors)
    assert Bipolar(("C3-O1",)).plan(sensors).matrix.tolist() == [[1, 0, -1]]


def test_a_channel_of_the_reference_is_the_derivation():
    sensors = electrodes(("C3", "C4"), reference="Cz")
    assert Bipolar(("Cz-C4", "C3-Cz")).plan(sensors).matrix.tolist() == [[0, -1], [1, 0]]


def test_other_sensors_are_no_electrodes():
    sensors = replace(electrodes(("C3", "C4")), kind=("eeg", "eog"))
    with pytest.raises(UsageError, match="lacks C3-C4"):
        Bipolar(("C3-C4",)).plan(sensors)


def test_the_temple_montage_is_what_the_models_know():
    assert TCP[22] == FEMBA
    assert TCP[20] == FEMBA[:20]
    assert TCP[16] == (*FEMBA[:8], *FEMBA[12:20])


def test_old_names_and_cases_are_the_same_electrodes():
    sensors = electrodes(("Fp1", "F7", "T7", "P7"))
    old, new = (Bipolar(p).plan(sensors) for p in (("F7-T3", "T3-T5"), ("f7-t7", "T7-P7")))
    assert np.array_equal(old.matrix, new.matrix)
    assert Select(("T3", "FP1")).plan(sensors).rows == (2, 0)


# ------------------------------------------------------------------ what is missing


def test_what_is_missing_is_refused_by_name():
    for view in (Tcp(), Bipolar(TCP[22])):
        told = (
            f"The recording x gives 90.9% of the view {type(view).__name__} and lacks A1-T7, T8-A2"
        )
        with pytest.raises(UsageError, match=told):
            view.plan(electrodes(), where="The recording x")


def test_what_may_be_missing_is_masked_and_never_filled():
    plan = Tcp(min_coverage=0.9).plan(electrodes())
    assert plan.coverage == pytest.approx(20 / 22)
    assert plan.lost == ("A1-T7", "T8-A2")
    assert plan.present.tolist() == [True] * 20 + [False] * 2
    assert not plan.matrix[20:].any()
    assert np.isnan(plan.sensors.position[20:]).all()
    assert plan.sensors.position_source[20:] == ("none", "none")
    signal = np.random.default_rng(0).normal(size=(3, 19, 7)).astype(np.float32)
    assert not plan.apply(signal)[:, 20:].any()
    assert plan.apply(signal).shape == (3, 22, 7)


def test_a_recording_with_nothing_of_the_view_is_refused_whatever_is_allowed():
    with pytest.raises(UsageError, match="lacks A1, A2"):
        Select(("A1", "A2"), min_coverage=0.01).plan(electrodes())


def test_bad_channels_count_as_absent_when_told():
    sensors = electrodes(bad=("F7",))
    used = Tcp(20).plan(sensors)
    assert [n for n, bad in zip(used.sensors.names, used.sensors.bad, strict=True) if bad] == [
        "Fp1-F7",
        "F7-T7",
    ]
    assert Tcp(20, min_coverage=0.5, bads="absent").plan(sensors).lost == ("Fp1-F7", "F7-T7")
    assert Select(("F7", "F8"), min_coverage=0.5, bads="absent").plan(sensors).lost == ("F7",)


def test_coverage_is_told():
    plans = {"r1": Tcp(min_coverage=0.1).plan(electrodes()), "r2": Tcp().plan(electrodes(EARS))}
    told = describe_coverage(Tcp(min_coverage=0.1), plans)
    assert told == (
        "view Tcp of 2 recordings: 95.5% of the channels were measured, at least 90.9% (r1); "
        "not measured: A1-T7 in 1, T8-A2 in 1"
    )
    assert describe_coverage(Tcp(), {"r2": plans["r2"]}).endswith("measured in all of them")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Select(()), "give channels"),
        (lambda: Select(("T3", "T7")), "each once"),
        (lambda: Select(("Cz",), min_coverage=0.0), "above 0"),
        (lambda: Tcp(min_coverage=1.5), "at most 1"),
        (lambda: Bipolar(("Cz",)), "write it as Fp1-F7"),
        (lambda: Bipolar(("Cz-CZ",)), "write it as Fp1-F7"),
        (lambda: Bipolar(("Cz-",)), "write it as Fp1-F7"),
        (lambda: Interpolate(("Q9",)).plan(electrodes()), "has no Q9"),
        (lambda: Rename({"Q9": "Cz"}).plan(electrodes()), "no channel Q9 to rename"),
        (lambda: Rename({"C3": "Cz"}).plan(electrodes()), "Cz twice"),
        (lambda: Interpolate().plan(electrodes(("C3", "C4"))), "wants 4 or more"),
        (lambda: Interpolate().plan(derivations(TCP[16])), "with one reference"),
    ],
)
def test_what_makes_no_sense_is_refused(make, said):
    with pytest.raises(UsageError, match=said):
        make()


# ------------------------------------------------------------------ choosing and renaming


def test_a_choice_is_rows_and_no_product():
    sensors, signal = electrodes(), np.random.default_rng(0).normal(size=(19, 9))
    plan = Select(("Cz", "Fp1")).plan(sensors)
    assert plan.rows == (17, 0)
    chosen = plan.apply(signal.astype(np.float32))
    assert np.array_equal(chosen, signal.astype(np.float32)[[17, 0]])
    assert np.array_equal(chosen, plan.matrix @ signal.astype(np.float32))
    assert Native().plan(sensors).rows == tuple(range(19))
    assert Tcp(16).plan(sensors).rows is None
    assert Select(("Cz", "A1"), min_coverage=0.5).plan(sensors).rows is None


def test_renaming_changes_names_only():
    plan = Rename({"Cz": "vertex"}).plan(electrodes())
    assert plan.sensors.names[17] == "vertex"
    assert plan.rows == tuple(range(19))


def test_a_chain_is_its_views_one_after_another():
    sensors, truth = electrodes(("Fp1", "F7", "C3", "Cz")), potentials(EARS)
    views = (Rename({"Cz": "P7", "C3": "T7"}), Tcp(16, min_coverage=0.1), Select(("F7-T7",)))
    plan = Chain(views).plan(sensors)
    assert plan.matrix.tolist() == [[0, 1, -1, 0]]
    assert plan.coverage == pytest.approx(3 / 16)
    assert "Fp1-F3" in plan.lost
    assert plan.apply(measured(sensors, truth)).shape == (1, 50)
    with pytest.raises(UsageError, match="lacks Fp1-F3"):
        Chain((*views[:2], Select(("Fp1-F3",)))).plan(sensors)


@pytest.mark.parametrize(
    "view",
    [
        Native(),
        Tcp(16),
        Select(("Cz",)),
        Interpolate(),
        Chain((Rename({"Cz": "x"}), Select(("x",)))),
    ],
)
def test_views_are_values_that_travel(view):
    assert pickle.loads(pickle.dumps(view)) == view
    assert view_of(json.loads(json.dumps(describe_view(view)))) == view
    assert isinstance(view, View)


def test_a_card_names_a_view_or_none():
    assert view_in({}) == Native()
    for path, said in (("nowhere.View", "install the package"), ("pathlib.Path", "is no view")):
        with pytest.raises(UsageError, match=said):
            view_in({"view": {"class": path, "arguments": {}}})


# ------------------------------------------------------------------ interpolation


def test_splines_are_mne_s():
    names = tuple(mne.channels.make_standard_montage("biosemi64").ch_names)
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(len(names), 20)) * 1e-5
    info = mne.create_info(list(names), 100.0, "eeg").set_montage("biosemi64")
    bads = ["Fp1", "Oz", "T7", "Cz"]
    raw = mne.io.RawArray(signal, info, verbose="ERROR")
    raw.info["bads"] = bads
    places = template_positions("biosemi64")
    origin = fit_origin(np.stack(list(places.values())))
    raw.interpolate_bads(origin=origin, reset_bads=False, verbose="ERROR")
    sensors = Sensors(
        names,
        ("eeg",) * 64,
        np.stack([places[n] for n in names]),
        np.full((64, 3), np.nan),
        ("template",) * 64,
        bad=tuple(n in bads for n in names),
    )
    plan = Interpolate(names, "biosemi64").plan(sensors)
    np.testing.assert_allclose(
        plan.apply(signal.astype(np.float32)), raw.get_data(), atol=1e-5 * 1e-5
    )
    assert set(plan.lost) == set(bads)
    assert plan.coverage == pytest.approx(60 / 64)
    assert plan.present.all()
    assert {plan.sensors.position_source[names.index(n)] for n in bads} == {"interpolated"}


@given(seed=st.integers(0, 2**31), shift=st.floats(-1, 1))
@settings(max_examples=20)
def test_splines_pass_a_common_potential_and_any_reference_on(seed, shift):
    rng = np.random.default_rng(seed)
    here, there = (rng.normal(size=(n, 3)) for n in (12, 5))
    weights = spline_matrix(here, there, origin=np.zeros(3))
    np.testing.assert_allclose(weights @ np.full(12, shift), shift, atol=1e-6)


def test_the_sphere_s_centre_is_found():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 3))
    points = 0.09 * points / np.linalg.norm(points, axis=1, keepdims=True) + [0.01, -0.02, 0.04]
    np.testing.assert_allclose(fit_origin(points), [0.01, -0.02, 0.04], atol=1e-12)


def test_too_much_is_not_interpolated():
    with pytest.raises(UsageError, match=r"gives .*% of the view Interpolate"):
        Interpolate(montage="biosemi64").plan(electrodes())
    assert Interpolate(montage="biosemi64", min_coverage=0.2).plan(electrodes()).present.all()
    with pytest.raises(UsageError, match=r"^The montage 'nowhere' is none of MNE's templates"):
        Interpolate(montage="nowhere").plan(electrodes())


# ------------------------------------------------------------------ reading through a view

SAMPLE = Path(__file__).parents[1] / "sample" / "eegmat"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """The sample's first two people."""
    path = tmp_path_factory.mktemp("views") / "s.zarr"
    files = [str(p) for p in sorted(SAMPLE.glob("Subject0[01]_*.edf"))]
    assert main(["ingest", *files, "--store", str(path), "--recipe", "eegmat"]) == 0
    return path


@pytest.mark.parametrize(
    ("view", "n_channels"),
    [
        (Native(), 19),
        (Tcp(20), 20),
        (Tcp(22, min_coverage=0.9), 22),
        (Select(("O2", "Fp1", "T3")), 3),
        (Interpolate(("Cz", "CPz", "Oz"), min_coverage=0.1), 3),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, View) else "",
)
def test_windows_are_the_view_of_what_the_store_has(store, view, n_channels):
    opened = open_store(store)
    reader = pickle.loads(pickle.dumps(WindowReader(store, ("eeg",), view)))
    places = [Place(id, start, start + 400) for id in opened.table.id for start in (0, 777)]
    batch = reader.read(places, 200.0)
    assert batch.signal.shape == (len(places), n_channels, 400)
    for row, place in enumerate(places):
        plan = view.plan(opened.sensors(place.recording))
        wanted = plan.matrix @ opened.read(place.recording, place.start, place.stop)
        np.testing.assert_allclose(batch.signal[row].numpy(), wanted, atol=1e-11)
        assert batch.mask[row].tolist() == plan.present.tolist()
        np.testing.assert_allclose(
            batch.position[row].numpy(), plan.sensors.position.astype(np.float32)
        )


def test_a_recording_that_lacks_channels_is_named(store):
    with pytest.raises(UsageError, match=r"The recording sub-0\d_\S+ gives 90.9% of the view"):
        WindowReader(store, ("eeg",), Tcp()).plans(open_store(store).table.id)


def test_femba_is_trained_on_referential_recordings_through_the_temple_montage(
    store, tmp_path, capsys
):
    out, call = tmp_path / "out", ["pretrain", "--config", "femba-sample-pretrain"]
    call += ["--data.store", str(store), "--out", str(out), "--train.steps", "2"]
    call += [
        "--train.batch_size",
        "2",
        "--train.validate_every",
        "2",
        "--train.checkpoint_every",
        "2",
    ]
    assert main([*call, "--data.validation", "0.5"]) == 0
    said = capsys.readouterr().out
    assert "view Tcp of 4 recordings: every channel was measured in all of them" in said
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["view"]["arguments"]["n_channels"] == 20
    assert manifest["coverage"] in said
    # What comes after reads through the same view, or is refused.
    told = yaml.safe_load((CONFIGS / "tasks" / "eegmat-arithmetic.yaml").read_text())
    told |= {"store": str(store), "seconds": 5.12}
    for view, code in (({"class_path": "Tcp", "init_args": {"n_channels": 20}}, 0), ("Native", 2)):
        (tmp_path / "task.yaml").write_text(yaml.safe_dump(told | {"view": view}))
        probe = ["finetune", "--task", str(tmp_path / "task.yaml"), "--checkpoint", str(out)]
        probe += ["--adaptation", "probe", "--split.validation", "0.5"]
        assert main([*probe, "--out", str(tmp_path / f"probe {code}")]) == code
    said = capsys.readouterr().err
    assert 'Tcp(bads: "keep", min_coverage: 1.0, n_channels: 20), not Native()' in said


@pytest.mark.parametrize(
    ("view", "rows"), [(Select(("Cz", "Fp1", "F3")), 3), (Tcp(20), None)], ids=["chosen", "derived"]
)
def test_tokens_know_the_view_they_are_of(store, tmp_path, view, rows):
    run = yaml.safe_load((CONFIGS / "runs" / "quickstart-tokenizer.yaml").read_text())
    run["model"] = str(CONFIGS / "models" / "tfm.yaml")
    described = describe_view(view)
    named = {"class_path": described["class"], "init_args": described["arguments"]}
    run["data"] = {"store": str(store), "seconds": 5, "validation": 0, "view": named}
    run["train"] |= {"steps": 1, "batch_size": 2}
    del run["train"]["validate_every"]
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    out, tokens = tmp_path / "out", tmp_path / "t.zarr"
    assert main(["pretrain", "--config", str(tmp_path / "run.yaml"), "--out", str(out)]) == 0
    assert main(["tokenize", str(store), "--checkpoint", str(out), "--tokens", str(tokens)]) == 0
    opened, made = open_store(store), open_tokens(tokens)
    id, n = made.ids[0], made.codes(made.ids[0]).shape[1]
    assert n == len(view.plan(opened.sensors(id)).sensors)
    if rows is None:
        assert "derived channels" in open_motifs(tokens, opened).sentence
    else:
        assert isinstance(open_motifs(tokens, opened), TokenStore)
        assert channel_rows(made, opened, id, n) == [
            opened.sensors(id).names.index(x) for x in view.ch_names
        ]


def test_trials_of_a_view_have_all_its_channels(store):
    labels = RecordingLabels("run", {"1": "rest", "2": "arithmetic"})
    trials = Task("t", store, labels, seconds=5.0, view=Tcp(20)).load()
    assert trials.sensors.names == TCP[20]
    opened = open_store(store)
    row = trials.meta.iloc[0]
    start = round(row["onset"] * 200)
    signal = opened.read(row["recording"], start, start + 1000)
    wanted = Tcp(20).plan(opened.sensors(row["recording"])).apply(signal)
    np.testing.assert_allclose(trials.X[0], wanted, atol=1e-11)
    with pytest.raises(UsageError, match="trials have all channels"):
        Task("t", store, labels, seconds=5.0, view=Tcp(22, min_coverage=0.9)).load()


@pytest.mark.parametrize(
    ("view", "said"),
    [("Tpc", "Tcp"), ({"class_path": "Tcp", "init_args": {"n_channels": 21}}, "n_channels")],
)
def test_a_mistaken_view_is_one_sentence(store, tmp_path, capsys, view, said):
    run = yaml.safe_load((CONFIGS / "runs" / "femba-sample-pretrain.yaml").read_text())
    run["model"] = yaml.safe_load((CONFIGS / "models" / "femba-tiny.yaml").read_text())
    run["data"] |= {"view": view, "store": str(store)}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    assert (
        main(["pretrain", "--config", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "o")])
        == 2
    )
    assert said in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
