"""`python -m g3_training`: the command `g3-train`, as torchrun wants it (`torchrun -m g3_training align …`)."""

from g3_training.command import main

if __name__ == "__main__":
    main()
