"""`python -m g3_evaluation`."""

from g3_evaluation.command import main

if __name__ == "__main__":
    main()
