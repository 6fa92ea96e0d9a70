"""What files say happened: joins between stretches, and channels of triggers."""

import numpy as np
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
