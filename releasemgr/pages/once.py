"""A form that makes something does so once, however often its button is pressed or the browser sends it again."""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Concatenate, ParamSpec
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from releasemgr.lib import clock
from releasemgr.lib.permission import person
from releasemgr.models import Sent
from releasemgr.pages.acting import wants_preview

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]
REMEMBERED = timedelta(days=1)


def once(view: View[P]) -> View[P]:
    """For a view whose form carries `{% once %}` and that redirects once it has made something.

    In one transaction with what is made: who sends the form a second time waits for the first, and is led to what
    that one made.
    """

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        token = _token(request)
        if token is None:
            return view(request, *args, **kwargs)
        now = clock.now()
        with transaction.atomic():
            Sent.objects.filter(at__lt=now - REMEMBERED).delete()
            sent, first = Sent.objects.get_or_create(token=token, user=person(request), defaults={"at": now})
            if not first:
                messages.info(request, _("That was sent twice. It was done once."))
                return redirect(sent.location or request.path)
            answer = view(request, *args, **kwargs)
            if answer.status_code == 302:
                sent.location = answer.headers["Location"]
                sent.save(update_fields=["location"])
            else:
                sent.delete()
        return answer

    return guarded


def _token(request: HttpRequest) -> UUID | None:
    """None for a preview, and where it cannot be read: the form is then like one without."""
    try:
        return None if wants_preview(request) else UUID(request.POST["once"])
    except (KeyError, ValueError):
        return None
