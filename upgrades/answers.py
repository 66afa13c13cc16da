"""What a host answers that refuses to begin: one line, of a word and more about it."""

from upgrades.exceptions import AlreadyBegun, OtherSite, SiteLocked, TooLate
from upgrades.recipes.masks import masked_text

NOBODY_KNOWS = "nobody there can tell who."


def refuse(line: str, host: str) -> None:
    """Raises OtherSite, SiteLocked, AlreadyBegun or TooLate; nothing for another answer."""
    word, _, more = line.partition(" ")
    match word:
        case "other-site":
            raise OtherSite(more)
        case "locked":
            raise SiteLocked(masked_text(more) or NOBODY_KNOWS)
        case "already-begun":
            raise AlreadyBegun(f"{host} answers: {word}.")
        case "too-late":
            raise TooLate(f"{host} answers: {word}.")
