"""Where the server is: arguments, environment, file."""

import stat
from pathlib import Path

import pytest
from g3_client import Connection, Misconfigured, config

FILE = Connection("http://127.0.0.1:7100", "kept")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment with a file of a connection."""
    environment = {"G3_HOME": str(tmp_path)}
    config.write(FILE, config.path(environment))
    return environment


def test_the_file_is_private_and_read_back(environment: dict[str, str]) -> None:
    file = config.path(environment)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert config.find(environment=environment) == FILE
    assert list(file.parent.iterdir()) == [file]
    assert "kept" not in repr(FILE)


def test_the_environment_comes_before_the_file(environment: dict[str, str]) -> None:
    environment |= {"G3_URL": "https://g3.example/", "G3_API_KEY": "own"}
    assert config.find(environment=environment) == Connection("https://g3.example", "own")
    assert config.find("http://other", "given", environment) == Connection("http://other", "given")


def test_the_key_of_the_file_goes_to_its_server_only(environment: dict[str, str]) -> None:
    assert config.find(environment=environment | {"G3_URL": "https://g3.example"}).api_key == ""
    assert config.find(environment=environment | {"G3_URL": FILE.url + "/"}) == FILE
    assert config.find(environment=environment | {"G3_API_KEY": "own"}) == Connection(FILE.url, "own")


def test_nothing_configured_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"g3 up.*G3_URL"):
        config.find(environment={"G3_HOME": str(tmp_path)})


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": 3}', '{"url": "ftp://x"}', "\xff"])
def test_a_damaged_file_is_said_clearly(tmp_path: Path, content: str) -> None:
    (tmp_path / "client.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(Misconfigured):
        config.find(environment={"G3_HOME": str(tmp_path)})
    assert config.find("http://given", environment={"G3_HOME": str(tmp_path)}).url == "http://given"


def test_the_file_lies_where_configuration_lies() -> None:
    assert config.path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/g3/client.json")
    assert config.path({}) == Path("~/.config/g3/client.json").expanduser()


@pytest.mark.parametrize(
    ("url", "loopback"), [("http://localhost:1", True), ("http://[::1]:1", True), ("http://x", False)]
)
def test_a_proxy_never_stands_before_this_machine(url: str, loopback: bool) -> None:
    assert Connection(url).loopback is loopback


@pytest.mark.parametrize(("url", "key"), [("7100", ""), ("http://", ""), ("http://x", "a\nb"), ("http://x", "ü")])
def test_what_is_no_address_or_key_is_refused(url: str, key: str) -> None:
    with pytest.raises(Misconfigured):
        Connection(url, key)
