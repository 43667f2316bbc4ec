"""`python -m g3_client` is the `g3` command."""

from g3_client.command import main

main()
