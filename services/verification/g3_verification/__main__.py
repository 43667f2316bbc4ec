"""`python -m g3_verification`: serve until SIGTERM."""

from g3_verification.app import main

if __name__ == "__main__":
    main()
