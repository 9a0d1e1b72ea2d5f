"""`make service`: what it makes works, and what it cannot make it says in one line, with nothing changed."""

import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from stack import SERVICES

REPOSITORY = Path(__file__).resolve().parents[2]
PORT = max(service.default_port for service in SERVICES) + 1


class Copy:
    """The repository in another folder, and a Python beside it that imports from there, with what is installed here behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=REPOSITORY,
            capture_output=True,
            check=True,
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (REPOSITORY / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(REPOSITORY / name, folder / name)

        self._environment = folder.with_name(f"{folder.name}-venv")

    def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return subprocess.run(
            [str(self._python()), *command],
            cwd=self.folder,
            env=inherited | {"PYTHONDONTWRITEBYTECODE": "1"} | settings,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def _python(self) -> Path:
        """Tests start processes of their own, which know nothing of a PYTHONPATH."""
        if not self._environment.exists():
            venv.create(self._environment, symlinks=True)
        sources = [self.folder, self.folder / "libs/common/src", *self.folder.glob("services/*/src"), self.folder / "tools"]
        (packages,) = self._environment.glob("lib/python*/site-packages")
        (packages / "copy.pth").write_text("".join(f"{path}\n" for path in [*sources, sysconfig.get_path("purelib")]))
        return self._environment / "bin" / "python"

    def service(self, name: str, singular: str = "") -> subprocess.CompletedProcess[str]:
        return self.run("tools/new_service.py", NAME=name, SINGULAR=singular)

    def content(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """One that stays as it is."""
    return Copy(tmp_path_factory.mktemp("copy"))


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """One with a service more."""
    copy = Copy(tmp_path_factory.mktemp("extended"))
    before = copy.content()
    made = copy.service("oboes")
    assert (made.returncode, made.stderr) == (0, "")
    assert f"made oboes, listings of which each is called oboe, on port {PORT}:" in made.stdout
    changed = {path.relative_to(copy.folder).as_posix() for path, content in before.items() if path.read_bytes() != content}
    assert changed == {".env.example", ".importlinter", "schemas/RELEASED", "tox.ini"}
    new = [path for path in copy.content() if path not in before]
    assert not [path for path in new if "widget" in f"{path} {path.read_text(encoding='utf-8')}".lower()]
    assert "An oboe was published." in (copy.folder / "schemas/oboes/OboeCreated.v1.avsc").read_text(encoding="utf-8")
    return copy


QUIET = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
LINT = "import sys; from importlinter.cli import lint_imports_command as run; sys.exit(run(['--no-cache']))"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "command",
    [
        ("-m", "ruff", "check", "--no-cache", "."),
        ("-m", "ruff", "format", "--no-cache", "--check", "services/oboes"),
        ("-m", "common.events.compatibility"),
        ("-c", LINT),
        (*QUIET, "tools/tests/test_settings.py", "tools/tests/test_stack.py"),
        (*QUIET, "services/oboes", "-k", "not postgresql and not rabbitmq", "-m", "not slow"),
    ],
    ids=["ruff", "format", "schemas", "imports", "tools", "its tests"],
)
def test_what_it_makes_passes_its_tests_and_every_check(extended: Copy, command: tuple[str, ...]) -> None:
    done = extended.run(*command, ATRIUM_SERVERS="off")
    assert done.returncode == 0, f"{done.stdout[-5000:]}\n{done.stderr[-5000:]}"


def test_another_one_gets_another_port_and_the_same_one_nothing(extended: Copy) -> None:
    again = extended.service("oboes")
    assert (again.returncode, again.stderr) == (2, "atrium: NAME 'oboes' is taken\n")
    assert f"port {PORT + 1}:" in extended.service("geese", "goose").stdout


@pytest.mark.parametrize(
    ("name", "singular", "said"),
    [
        ("", "", "which name? `make service NAME=bicycles`"),
        ("Bicycles", "", "NAME must be 2 to 30 letters a to z and digits, a letter first, not 'Bicycles'"),
        ("ice-creams", "", "NAME must be"),
        ("2cv", "", "NAME must be"),
        ("../oboes", "", "NAME must be"),
        ("x" * 31, "", "NAME must be"),
        ("bicycles", "Bicycle", "SINGULAR must be"),
        ("class", "clas", "NAME must be"),
        ("sheep", "", "NAME must be a plural other than its singular 'sheep'"),
        ("rooms", "", "NAME 'rooms' is taken"),
        ("examples", "", "NAME 'examples' is taken"),
        ("images", "picture", "NAME 'images' is taken"),
        ("secrets", "", "NAME 'secrets' is taken by a Python package of this name"),
        ("chambers", "room", "SINGULAR 'room' is taken by rooms"),
        ("owners", "", "SINGULAR 'owner' means something else in every service"),
        ("conflicts", "", "SINGULAR 'conflict' means something else in every service"),
        ("listings", "", "SINGULAR 'listing' means something else in every service"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line_and_changes_nothing(copy: Copy, name: str, singular: str, said: str) -> None:
    before = copy.content()
    done = copy.service(name, singular)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith(f"atrium: {said}")
    assert copy.content() == before


def test_schemas_that_are_not_in_order_come_first(tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    (tmp_path / "schemas/rooms/RoomLeft.v1.avsc").write_text("{")
    before = copy.content()
    done = copy.service("bicycles")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("atrium: the schemas are not in order, and have to be first: rooms/RoomLeft.v1.avsc: ")
    assert copy.content() == before
