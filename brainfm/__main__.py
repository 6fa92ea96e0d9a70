"""`python -m brainfm`, which is also how torchrun starts a command."""

import sys

from brainfm.cli import main

if __name__ == "__main__":
    sys.exit(main())
