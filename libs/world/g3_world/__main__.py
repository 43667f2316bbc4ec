"""`python -m g3_world photos | arrays | dataset | render`."""

import sys

from g3_world.command import run

if __name__ == "__main__":
    sys.exit(run())
