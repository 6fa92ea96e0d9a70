"""How long a user waits before anything happens: `import brainfm` and `brainfm --help`.

Every run is a fresh process; the first of each kind, which reads files from the disk, is not counted.
The median is printed beside that of an empty Python process, which no program can undercut.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

PROGRAMS = {
    "python (empty)": ["-c", "pass"],
    "import brainfm": ["-c", "import brainfm"],
    "brainfm --help": ["-c", "from brainfm.cli import main; main(['--help'])"],
}
WANTED = {"import brainfm": 0.5, "brainfm --help": 1.0}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=11, help="processes of each kind")
    repeat = parser.parse_args().repeat
    print(f"{'':16} {'median s':>9} {'slowest s':>10} {'wanted s':>9}")
    for name, arguments in PROGRAMS.items():
        seconds(arguments)
        times = [seconds(arguments) for _ in range(repeat)]
        wanted = f"< {WANTED[name]}" if name in WANTED else ""
        print(f"{name:16} {statistics.median(times):9.3f} {max(times):10.3f} {wanted:>9}")


if __name__ == "__main__":
    main()
