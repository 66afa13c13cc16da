"""Where the database is: the server that DATABASE_URL names, or the embedded one of this checkout."""

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from releasemgr.lib.env import Env

SHAPE = "postgres://user:password@host:port/name"
KEEPING = {
    "CONN_MAX_AGE": 60,  # the queue asks every half second; a new connection costs it six times as much
    "CONN_HEALTH_CHECKS": True,
}
LIVENESS = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}


def database_settings(env: Env, var_dir: Path) -> dict[str, Any]:
    """Django's settings of the one database. Starts nothing and connects to nothing."""
    url = env.text("DATABASE_URL", "")
    return _named_server(url) if url else _embedded_server(var_dir)


def _embedded_server(var_dir: Path) -> dict[str, Any]:
    return {
        "ENGINE": "releasemgr.lib.embedded",
        "NAME": "releasemgr",
        "USER": "releasemgr",
        "EMBEDDED_IN": var_dir,
        **KEEPING,
    }


def _named_server(url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _malformed(str(error)) from None
    if parts.scheme not in {"postgres", "postgresql"}:
        raise _malformed("it does not begin with postgres:// or postgresql://")
    name = unquote(parts.path.removeprefix("/"))
    if not name or "/" in name:
        raise _malformed("it names no database after the host")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(port or ""),
        "OPTIONS": LIVENESS | _options(parts),
        **KEEPING,
    }


def _options(parts: SplitResult) -> dict[str, str]:
    if parts.fragment:
        raise _malformed("it contains a #, which is written %23")
    try:
        return dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise _malformed("what follows the ? is not made of name=value pairs") from None


def _malformed(why: str) -> ImproperlyConfigured:
    """Never shows the URL itself: it holds a password."""
    return ImproperlyConfigured(f"DATABASE_URL cannot be read: {why}. It takes {SHAPE}?sslmode=….")
