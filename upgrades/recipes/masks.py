"""Hides what looks like a secret in what is shown of an environment or a command."""

import re

HIDDEN = "***"
NAME = re.compile(r"(?:^|_)(?:KEY|PASS|PASSWD|PASSWORD|PW|SECRET|TOKEN|CREDENTIALS?|AUTH)(?:$|_)")
IN_ADDRESS = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
IN_COMMAND = re.compile(
    r"(?i)([\w-]*(?:passwd|password|secret|token|api[_-]?key)[\w-]*(?:=|\s+|:\s*))(?![\"']?\$)(\"[^\"]*\"|'[^']*'|[^\s;&|]+)"
)


def masked(name: str, value: str) -> str:
    """The value of an environment variable."""
    return HIDDEN if value and NAME.search(name) else masked_text(value)


def masked_text(text: str) -> str:
    """Who signs in at an address, and what follows a word for a secret, unless it is a variable."""
    return IN_COMMAND.sub(rf"\1{HIDDEN}", IN_ADDRESS.sub(HIDDEN, text))
