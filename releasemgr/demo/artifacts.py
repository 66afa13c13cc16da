"""Packs the web application into real archives, one for each build. The same build gives the same bytes."""

import gzip
import hashlib
import io
import struct
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from random import Random

from releasemgr.demo.builds import BUILDS, DemoBuild

WEBAPP = Path(__file__).parent / "webapp"
PICTURES = ("welcome", "rota", "invoices", "calendar")
FIXED_TIME = 1_700_000_000


@dataclass(frozen=True)
class Artifact:
    build: DemoBuild
    path: Path
    changelog: Path
    sha256: str
    commit: str  # forty hexadecimal digits, derived from the content


def build_all(folder: Path) -> list[Artifact]:
    """Every archive with its changelog beside it, oldest first. An archive that is there stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(build, folder) for build in BUILDS]


def archive(folder: Path, version: str) -> Path:
    return folder / f"northlight-{version}.tar.gz"


def pack(build: DemoBuild) -> bytes:
    """A .tar.gz whose top level is the content of a release directory."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as packed:
        for name, content in sorted(files(build).items()):
            packed.addfile(_member(name, content), io.BytesIO(content))
    return gzip.compress(plain.getvalue(), compresslevel=6, mtime=0)


def files(build: DemoBuild) -> dict[str, bytes]:
    found = {
        "VERSION": f"{build.version}\n".encode(),
        "CHANGELOG.md": f"# Northlight {build.version}\n\n{build.changelog}".encode(),
    }
    for path in WEBAPP.rglob("*"):
        name = path.relative_to(WEBAPP).as_posix()
        if path.is_file() and _belongs(name, build):
            found[name] = path.read_bytes()
    return found | assets(build.version.rpartition(".")[0])


@cache
def assets(series: str) -> dict[str, bytes]:
    """Pictures and a table of holidays. A series, such as 4.20, has its own pictures."""
    pictures = {f"static/img/{name}.png": _picture(f"{series} {name}") for name in PICTURES}
    return pictures | {"static/holidays.csv": _holidays()}


def _write(build: DemoBuild, folder: Path) -> Artifact:
    path, changelog = archive(folder, build.version), folder / f"northlight-{build.version}.md"
    if not path.exists():
        changelog.write_text(build.changelog)
        half_written = path.with_suffix(".part")
        half_written.write_bytes(pack(build))
        half_written.replace(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    commit = hashlib.sha256(f"commit {digest}".encode()).hexdigest()[:40]
    return Artifact(build, path, changelog, digest, commit)


def _belongs(name: str, build: DemoBuild) -> bool:
    if "__pycache__" in name or name == "__init__.py" or name in build.without:
        return False
    if name.startswith("migrations/"):
        return int(name.partition(".")[2].partition("_")[0]) <= build.last_migration
    return True


def _member(name: str, content: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(content), FIXED_TIME
    member.mode = 0o755 if name.startswith("hooks/") else 0o644
    return member


def _picture(seed: str, width: int = 240, height: int = 150) -> bytes:
    """A soft gradient with the grain of a photograph, as PNG."""
    random = Random(seed)  # noqa: S311 - a picture, not a secret
    tint = [random.randrange(96, 200) for _ in range(3)]
    rows = bytearray()
    for y in range(height):
        grain = random.randbytes(3 * width)
        rows.append(0)
        rows += bytes(tint[i % 3] - y // 3 + i // 24 + (grain[i] & 15) & 255 for i in range(3 * width))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(rows), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _holidays() -> bytes:
    rows = (f"{day.isoformat()},{name}" for year in range(2020, 2036) for day, name in _year(year))
    return ("day,name\n" + "\n".join(rows) + "\n").encode()


def _year(year: int) -> Iterator[tuple[date, str]]:
    easter = _easter(year)
    yield date(year, 1, 1), "New Year’s Day"
    yield easter - timedelta(days=2), "Good Friday"
    yield easter + timedelta(days=1), "Easter Monday"
    yield easter + timedelta(days=39), "Ascension Day"
    yield date(year, 12, 25), "Christmas Day"


def _easter(year: int) -> date:
    """The Gregorian computus in the form of Gauss, with Lichtenberg's correction."""
    century = year // 100
    secular = 15 + (3 * century + 3) // 4 - (8 * century + 13) // 25
    moon = (19 * (year % 19) + secular) % 30
    moon -= moon // 29 + (moon // 28 - moon // 29) * (year % 19 // 11)
    full_moon = 21 + moon
    sunday = 7 - (year + year // 4 + 2 - (3 * century + 3) // 4) % 7
    return date(year, 3, 1) + timedelta(days=full_moon + 7 - (full_moon - sunday) % 7 - 1)
