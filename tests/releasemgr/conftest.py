"""Pages under test link to static files by their plain names: nothing has collected them. Hashing is quick."""

import pytest
from pytest_django import Settings


@pytest.fixture(autouse=True)
def plain_pages(settings: Settings) -> None:
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": plain}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
