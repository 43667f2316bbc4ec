"""`python -m g3_embedding`: serve until SIGTERM."""

from g3_embedding.app import main

if __name__ == "__main__":
    main()
