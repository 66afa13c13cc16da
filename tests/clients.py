"""A browser's stand-in that is signed in without much ado."""

import re
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils.crypto import get_random_string


class SignedInClient(Client):
    def force_login(self, user: Any, backend: str | None = None) -> None:
        """The session that signing in leaves behind, and nothing else of it: one query instead of ten."""
        held = {
            SESSION_KEY: str(user.pk),
            BACKEND_SESSION_KEY: backend or settings.AUTHENTICATION_BACKENDS[-1],
            HASH_SESSION_KEY: user.get_session_auth_hash(),
        }
        store = SessionStore()
        session = Session.objects.create(
            session_key=get_random_string(32), session_data=store.encode(held), expire_date=store.get_expiry_date()
        )
        self.cookies[settings.SESSION_COOKIE_NAME] = session.session_key


def carried(answer: Any) -> dict[str, str]:
    """What the form of a page carries unseen."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', answer.content.decode()))
