"""Asks for a permission, and says which one was missing (403.html names who has it)."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)
View = Callable[Concatenate[HttpRequest, P], R]


class NotAllowed(PermissionDenied):
    """`permission` is written builds.promote_build."""

    def __init__(self, permission: str) -> None:
        super().__init__(permission)
        self.permission = permission


def person(request: HttpRequest) -> User:
    """Whoever is signed in. Every page but sign-in asks for that first."""
    return cast(User, request.user)


def check(request: HttpRequest, permission: str) -> None:
    """Raises NotAllowed unless the person may."""
    if not request.user.has_perm(permission):
        raise NotAllowed(permission)


def needs(permission: str) -> Callable[[View[P, R]], View[P, R]]:
    """A view that only those with the permission reach."""

    def decorate(view: View[P, R]) -> View[P, R]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> R:
            check(request, permission)
            return view(request, *args, **kwargs)

        return guarded

    return decorate
