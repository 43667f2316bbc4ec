"""`python -m g3_retrieval` serves until SIGTERM; `python -m g3_retrieval memory` says what a collection takes."""

import sys

from g3_retrieval import memory
from g3_retrieval.app import main

if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        memory.command(sys.argv[2:])
    else:
        main()
