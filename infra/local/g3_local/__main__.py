"""`python -m g3_local supervise` is what `g3 up` leaves running; the other commands are those of `g3`."""

import typer

from g3_local import command
from g3_local.home import Home

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.command("up")(command.up)
app.command("down")(command.down)
app.command("ps")(command.ps)


@app.command("supervise", hidden=True)
def _supervise() -> None:
    command.supervise(Home.find())


if __name__ == "__main__":
    app()
