"""The `g3` command."""

import sys

import typer

from g3_client.command import jobs, locate, plugins, status

app = typer.Typer(
    name="g3",
    help="Where was this photo taken? Submits photos to a G3 server and shows place, coordinates and evidence.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("locate")(locate.locate)
app.command("status")(status.status)
app.add_typer(jobs.app, name="jobs")

OWN = frozenset({"locate", "status", "jobs"})


def main() -> None:
    """Runs the command line of this process. Plug-ins are loaded only when the command may be one of theirs."""
    asked = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if asked not in OWN:
        plugins.add(app, asked, OWN)
    app(prog_name="g3")
