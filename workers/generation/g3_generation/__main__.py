"""`python -m g3_generation`: work the queue `generate` until SIGTERM."""

from g3_generation.app import main

if __name__ == "__main__":
    main()
