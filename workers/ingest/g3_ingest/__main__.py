"""`python -m g3_ingest FOLDER`."""

from g3_ingest.command import main

if __name__ == "__main__":
    main()
