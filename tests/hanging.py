"""A reader whose files say how it hangs."""

import time
from collections import deque
from itertools import repeat

import mne
import numpy as np

from brainfm.recordings.formats.reader import Reader


class Hanging(Reader):
    pattern = r".+\.hang"

    def open(self, path):
        how = path.read_text()
        if how == "in python":
            while True:
                pass
        if how == "in a system call":
            time.sleep(1e6)
        if how == "in c":
            deque(repeat(None), maxlen=0)  # no signal is looked at, and no other thread runs
        signal = 1e-5 * np.random.default_rng(0).standard_normal((2, 2000))
        raw = mne.io.RawArray(signal, mne.create_info(["Fp1", "Oz"], 200.0, "eeg"), verbose="ERROR")
        if how == "in a block":
            raw._getitem = lambda *_, **__: time.sleep(1e6)
        return raw
