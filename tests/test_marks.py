"""What files say happened: joins between stretches, and channels of triggers."""

import mne
import numpy as np
import pytest
from scipy.io import savemat

from brainfm.recordings.files import read_recording
from brainfm.recordings.recipe import Recipe

RATE, SECONDS = 200, 60


def noise(n_channels):
    return 2e-5 * np.random.default_rng(0).standard_normal((n_channels, RATE * SECONDS))


def write_eeglab(path, events):
    """Write an EEGLAB set with events of type, latency and duration in samples."""
    kinds = [("type", object), ("latency", object), ("duration", object)]
    names = np.array([("Fp1",), ("Cz",)], dtype=[("labels", object)])
    fields = {"nbchan": 2, "trials": 1, "pnts": RATE * SECONDS, "srate": float(RATE), "xmin": 0.0}
    fields |= {"setname": "x", "data": 1e6 * noise(2), "chanlocs": names, "epoch": []}
    fields |= {"xmax": SECONDS - 1 / RATE, "event": np.array(events, dtype=kinds), "ref": "common"}
    fields |= {key: [] for key in ("icawinv", "icasphere", "icaweights", "icaact")}
    savemat(path, {"EEG": fields}, appendmat=False)
    return str(path)


def test_a_join_is_a_moment_however_much_was_cut_out(tmp_path):
    events = [
        ("left", 1001.0, 100.0),
        ("boundary", 2000.5, 6000.0),
        ("right", 3001.0, 0.0),
        ("boundary", 5000.5, float("nan")),
    ]
    marks = read_recording(write_eeglab(tmp_path / "a.set", events), Recipe()).annotations
    assert marks.description == ("left", "BAD_boundary", "right", "BAD_boundary")
    np.testing.assert_allclose(marks.onset, [5, 10, 15, 25], atol=0.01)
    np.testing.assert_allclose(marks.duration, [0.5, 0, 0, 0])


@pytest.mark.parametrize(("every", "left_out"), [(8, 1494 + 6), (200, None)])
def test_frame_triggers_are_no_events_and_are_counted(tmp_path, every, left_out):
    codes = np.zeros((1, RATE * SECONDS))
    codes[0, 50::every] = 1
    codes[0, 1000::2000] = 7
    names, kinds = ["Fp1", "Cz", "STI 014"], ["eeg", "eeg", "stim"]
    info = mne.create_info(names, float(RATE), kinds)
    raw = mne.io.RawArray(np.vstack([noise(2), codes]), info, verbose="ERROR")
    raw.save(tmp_path / "a_raw.fif", verbose="ERROR")
    recording = read_recording(str(tmp_path / "a_raw.fif"), Recipe())
    assert recording.provenance.get("stimulus_changes_left_out") == left_out
    wanted = mne.find_events(raw, shortest_event=1, verbose="ERROR")
    assert len(recording.annotations) == (0 if left_out else len(wanted))
    assert left_out in (None, len(wanted))
