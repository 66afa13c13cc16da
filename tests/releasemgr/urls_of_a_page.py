"""The product's addresses, with one page that shows messages."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from releasemgr import urls

handler403 = urls.handler403


def page(request: HttpRequest) -> HttpResponse:
    messages.success(request, "The target is saved.")
    messages.error(request, "<b>refused</b>")
    return render(request, "base.html")


urlpatterns = [path("", page, name="overview"), path("sites/", page), *urls.urlpatterns]
