"""Passwords that are made up for people, to be typed and then changed."""

import secrets

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another


def made_up_password() -> str:
    """About 80 bits."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(4))
