"""The embedded one-machine stack: g3 up, down, top."""
