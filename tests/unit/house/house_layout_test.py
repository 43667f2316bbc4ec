"""The layout of the house: rooms are distributions of one shape, names are nouns, links lead somewhere."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BANNED = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "base", "misc"}
MAX_BYTES = 20 * 1024 * 1024
# A link of Markdown, not one in code: [text](target) with an optional title.
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def rooms(root: Path) -> list[Path]:
    """Every folder that is a distribution."""
    folders = [root / "protos", root / "infra" / "local"]
    for group in ("libs", "services", "workers"):
        folders += [folder for folder in (root / group).iterdir() if folder.is_dir() and folder.name[0] not in "._"]
    return sorted(folders)


def files(root: Path) -> Iterator[Path]:
    """Every file of the tree but those of tools, caches and build outputs."""
    for folder, names, held in os.walk(root):
        names[:] = [
            name
            for name in names
            if name not in ("__pycache__", "node_modules", "dist", "build", "out")
            and not name.endswith(".egg-info")
            and (not name.startswith(".") or name in (".github",))
        ]
        yield from (Path(folder, name) for name in held if not name.endswith(".pyc"))


def banned(root: Path) -> list[str]:
    """Files and folders whose name, or a word of it, says nothing."""
    found = set()
    for path in files(root):
        for part in path.relative_to(root).parts:
            if BANNED & set(re.split(r"[_\-.]+", part.lower())):
                found.add(path.relative_to(root).as_posix())
    return sorted(found)


def faults(room: Path) -> list[str]:
    """What keeps a folder from being a room."""
    package = room / ("g3_protos" if room.name == "protos" else f"g3_{room.name}")
    wanted = [room / "pyproject.toml", room / "README.md", package / "__init__.py", package / "py.typed"]
    found = [f"{path.relative_to(room)} is missing" for path in wanted if not path.is_file()]
    found += [f"{path.name}: one flat package a room" for path in room.glob("g3_*") if path != package]
    if (room / "src").exists():
        found.append("src: packages are flat")
    if found:
        return found
    settings = tomllib.loads((room / "pyproject.toml").read_text())
    project = settings["project"]
    expected = {
        "name": package.name.replace("_", "-"),
        "readme": "README.md",
        "license": "Apache-2.0",
        "requires-python": ">=3.11",
    }
    found += [
        f"{key} is {project.get(key)}, not {value}" for key, value in expected.items() if project.get(key) != value
    ]
    if settings["build-system"]["build-backend"] != "hatchling.build":
        found.append("is not built by hatchling")
    if len(project.get("description", "")) < 10 or len((room / "README.md").read_text().split()) < 30:
        found.append("does not say what it is for")
    return found


def listed(requirements: str) -> set[str]:
    """The folders that requirements-dev.txt installs."""
    return set(re.findall(r"^-e \./([^\[\s]+)", requirements, re.MULTILINE))


def dead_links(document: Path) -> list[str]:
    """Relative targets of a Markdown file that do not exist."""
    text = FENCED.sub("", document.read_text())
    targets = [match[1] for match in LINK.finditer(text)]
    return [
        target
        for target in targets
        if not re.match(r"[a-z]+:|#|//", target) and not (document.parent / target.partition("#")[0]).exists()
    ]


def test_no_name_says_nothing() -> None:
    assert banned(ROOT) == []


@pytest.mark.parametrize(
    "name", ["libs/kit/g3_kit/utils.py", "services/common/x.py", "libs/a/photo_helpers.py", "docs/misc.md", "base.py"]
)
def test_a_name_that_says_nothing_is_found(tmp_path: Path, name: str) -> None:
    for made in (name, "libs/kit/g3_kit/database.py", "libs/commonwealth.py"):
        path = tmp_path / made
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert banned(tmp_path) == [name]


@pytest.mark.parametrize("room", rooms(ROOT), ids=lambda room: room.relative_to(ROOT).as_posix())
def test_a_room_is_one_small_distribution(room: Path) -> None:
    assert faults(room) == []


def test_what_is_no_room_is_found(tmp_path: Path) -> None:
    package = tmp_path / "attic" / "g3_attic"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package.parent / "g3_other").mkdir()
    assert faults(package.parent) == [
        "pyproject.toml is missing",
        "README.md is missing",
        "g3_attic/py.typed is missing",
        "g3_other: one flat package a room",
    ]


def test_the_environment_holds_every_room() -> None:
    folders = {room.relative_to(ROOT).as_posix() for room in rooms(ROOT)}
    assert listed((ROOT / "requirements-dev.txt").read_text()) == folders


def test_every_room_is_checked_by_the_type_checker_and_the_import_rules() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    folders = {room.relative_to(ROOT).as_posix() for room in rooms(ROOT)}
    packages = {"g3_protos" if room.name == "protos" else f"g3_{room.name}" for room in rooms(ROOT)}
    assert set(settings["mypy"]["mypy_path"]) == folders
    assert set(settings["importlinter"]["root_packages"]) == packages


def test_every_requirement_of_a_room_that_is_a_sibling_exists() -> None:
    names = {tomllib.loads((room / "pyproject.toml").read_text())["project"]["name"] for room in rooms(ROOT)}
    for room in rooms(ROOT):
        for wanted in tomllib.loads((room / "pyproject.toml").read_text())["project"].get("dependencies", []):
            name = re.split(r"[\[<>=!~ ;]", wanted)[0]
            assert not name.startswith("g3-") or name in names, f"{room.name} wants {name}"


@pytest.mark.parametrize(
    "document",
    sorted(path for path in files(ROOT) if path.suffix == ".md"),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_links_lead_somewhere(document: Path) -> None:
    assert dead_links(document) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").touch()
    document = tmp_path / "page.md"
    document.write_text(
        '[a](there.md#part) [b](gone.md "title") ![c](img/gone.png) [d](https://example.org/x) [e](#here)\n'
        "```\n[f](in/code.md)\n```\n[g](../nowhere)\n"
    )
    assert dead_links(document) == ["gone.md", "img/gone.png", "../nowhere"]


def test_no_file_is_large() -> None:
    assert [path for path in files(ROOT) if path.stat().st_size > MAX_BYTES] == []
