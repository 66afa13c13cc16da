"""Lucide's icons, read from the archive in its package.

The package's own tag opens the archive anew for each icon, which takes longer than the rest of a page.
"""

from functools import cache
from importlib.resources import files
from io import BytesIO
from xml.etree import ElementTree
from zipfile import ZipFile

NAMESPACE = "{http://www.w3.org/2000/svg}"


def svg(name: str, attributes: dict[str, str]) -> str:
    """The icon as markup, with these attributes beside its own. Raises KeyError for a name that Lucide has not."""
    icon = ElementTree.fromstring(_archive().read(f"{name}.svg"))  # noqa: S314 - comes with the package
    for node in icon.iter():
        node.tag = node.tag.removeprefix(NAMESPACE)
    icon.attrib.update(attributes)
    return ElementTree.tostring(icon, encoding="unicode")


@cache
def _archive() -> ZipFile:
    """In memory, so that processes that fork share no open file."""
    return ZipFile(BytesIO(files("lucide").joinpath("lucide.zip").read_bytes()))
