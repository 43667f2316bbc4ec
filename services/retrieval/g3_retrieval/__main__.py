"""`python -m g3_retrieval` serves until SIGTERM."""

from g3_retrieval.app import main

if __name__ == "__main__":
    main()
