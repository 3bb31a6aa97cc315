"""Name every request, in the answer as in the log, so that both sides can speak of the same one."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

HEADER = "X-Request-ID"
PROPER = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)


class RequestId:
    """Keep the caller's name of the request if it is a proper one, else give one; the log takes it from here."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name = request.headers.get(HEADER, "")
        if not PROPER.fullmatch(name):
            name = str(uuid.uuid4())
        request.META["HTTP_X_REQUEST_ID"] = name
        response = self.get_response(request)
        response[HEADER] = name
        return response
