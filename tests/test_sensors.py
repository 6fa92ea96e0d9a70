"""Labels that count on from a letter: caps, nets, grids and depth electrodes are told apart, or not named."""

import mne
import numpy as np
import pytest

from brainfm.recordings.files import read_recording
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.sensors.labels import template_positions
from brainfm.recordings.sensors.series import find_contacts, find_net


def count(letters, last, first=1):
    return [f"{letter}{i}" for letter in letters for i in range(first, last + 1)]


def write(path, names, kind="eeg", places=None):
    data = 2e-5 * np.random.default_rng(0).standard_normal((len(names), 400))
    raw = mne.io.RawArray(data, mne.create_info(names, 200.0, kind), verbose="ERROR")
    for channel, place in zip(raw.info["chs"], places if places is not None else [], strict=False):
        channel["loc"][:3] = place
    if path.suffix == ".edf":
        mne.export.export_raw(path, raw, fmt="edf", overwrite=True, verbose="ERROR")
    else:
        raw.save(path, overwrite=True, verbose="ERROR")
    return str(path)


def sensors_of(path, **changes):
    return read_recording(path, Recipe(**changes)).sensors


@pytest.mark.parametrize(("cap", "banks"), [("biosemi128", "ABCD"), ("biosemi256", "ABCDEFGH")])
@pytest.mark.parametrize("name", ["cap.edf", "cap_raw.fif"])
def test_a_cap_of_biosemi_stands_where_its_montage_says_and_else_nowhere(
    tmp_path, name, cap, banks
):
    names = count(banks, 32)
    path = write(tmp_path / name, names)
    sensors = sensors_of(path, montage=cap)
    assert sensors.names == tuple(names)
    assert set(sensors.kind) == {"eeg"}
    known = template_positions(cap)
    np.testing.assert_allclose(sensors.position, np.stack([known[name] for name in names]))
    if path.endswith(".edf"):
        with pytest.raises(Refused, match="rename, types or montage") as refused:
            sensors_of(path)
        assert refused.value.reason is Reason.no_signal_channels
    else:
        assert set(sensors_of(path).position_source) == {"none"}


def test_a_recipe_s_names_and_types_win_over_the_series(tmp_path):
    path = write(tmp_path / "cap.edf", count("ABCD", 32))
    sensors = sensors_of(path, rename={"A19": "Pz", "D19": "C3"})
    assert sensors.names == ("Pz", "C3")
    assert set(sensors.position_source) == {"template"}
    assert set(sensors_of(path, types={"C*": "eeg"}).position_source) == {"none"}


@pytest.mark.parametrize(
    ("labels", "contacts"),
    [
        (count("FCPO", 12), count("FCPO", 12)),
        (["EEG O1-Ref", "POL O2", "O3", "Cz"], ["EEG O1-Ref", "POL O2", "O3"]),
        # A shaft of 8 reaches no further than a cap, but stands beside two that do.
        (count("ACP", 8), count("ACP", 8)),
        (["A5", "A6", "A7", "C3", "C4"], ["A5", "A6", "A7"]),
        ([*count("AC", 12), "F3", "F4", "F7", "F8", "T3", "T4", "T5", "T6"], count("AC", 12)),
        # Scalp: 10-10, the lowest row of some caps, clinical labels, other inputs of a recorder.
        (count("FCP", 6), []),
        ([*count("F", 8), "F11", "F12", "P11", "P12"], []),
        ([*count("T", 6), "A1", "A2", "O1", "O2", *count("X", 8)], []),
        (["FP1-F7", "F7-T3", "T3-T5", "C3-A2", "C4-A1", "E1-M2"], []),
        ([], []),
    ],
)
def test_what_goes_beyond_the_template_is_contacts(labels, contacts):
    assert find_contacts(labels, "standard_1005") == set(contacts)


def test_the_vertex_of_a_net_is_no_contact():
    assert find_contacts(count("E", 129), "GSN-HydroCel-129") == set()


@pytest.mark.parametrize(
    ("labels", "net"),
    [
        (count("E", 128), "GSN-HydroCel-129"),
        ([*count("E", 32), "Cz", "ECG", "EMG1", "EMG2", "EMG3"], "GSN-HydroCel-32"),
        (count("ABCDEFGH", 32), None),
        ([*count("E", 16), *count("F", 12)], None),
        ([f"POL E{i}" for i in range(1, 17)], None),
    ],
)
def test_a_net_stands_alone(labels, net):
    assert find_net(labels) == net


def test_a_recipe_s_montage_wins_over_the_net(tmp_path):
    path = write(tmp_path / "net_raw.fif", count("E", 64))
    for montage in ("GSN-HydroCel-64_1.0", "GSN-HydroCel-65_1.0"):
        known = template_positions(montage)
        sensors = sensors_of(path, montage=montage)
        np.testing.assert_allclose(sensors.position[9], known["E10"])


# Contacts that the format, or a sidecar, types as such


@pytest.mark.parametrize("kind", ["seeg", "ecog"])
def test_contacts_keep_their_names_and_places(tmp_path, kind):
    names = [*count("T", 8), *count("C", 4)]
    places = 0.03 + 0.003 * np.arange(36).reshape(12, 3) / 3
    path = write(tmp_path / "depth_raw.fif", names, kind, places)
    sensors = sensors_of(path, kinds=(kind,))
    assert sensors.names == tuple(names)
    assert set(sensors.position_source) == {"file"}
    np.testing.assert_allclose(sensors.position, places, atol=1e-6)


def test_contacts_without_places_are_in_none_of_the_scalp(tmp_path):
    path = write(tmp_path / "shaft.edf", ["C1", "C2", "T3"])
    sensors = sensors_of(path, types={"C*": "seeg", "T3": "seeg"}, kinds=("seeg",))
    assert sensors.names == ("C1", "C2", "T3")
    assert set(sensors.position_source) == {"none"}
