"""`python -m g3_world.lmm`."""

from g3_world.lmm.app import run

if __name__ == "__main__":
    run()
