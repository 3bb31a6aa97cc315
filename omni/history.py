"""Who changed a tracked row: told to the database by pages, not by the API."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from pghistory.middleware import HistoryMiddleware


class HistoryOfPages(HistoryMiddleware):
    """The user and the address go along with every statement of a page that writes.

    The API writes no tracked table, and its orders are a hot path: there each statement would carry them in vain. An
    endpoint that comes to write one opens `pghistory.context(by=…)` itself.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith("/api/"):
            return self.get_response(request)  # type: ignore[no-any-return]
        return super().__call__(request)  # type: ignore[no-any-return,no-untyped-call]
