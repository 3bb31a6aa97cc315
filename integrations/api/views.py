"""The door for call-backs: raw bytes in, the sender's own words out."""

from __future__ import annotations

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from integrations.models import Connection
from integrations.receive import receive_qimen, refuse_size

BODY_MAX = 10 * 1024 * 1024
XML = "text/xml; charset=utf-8"


@csrf_exempt
@require_POST
def take_qimen_callback(request: HttpRequest, code: str) -> HttpResponse:
    """One call of a Qimen warehouse, known by its signature. A refusal has status 200 too: Qimen has it so."""
    connection = get_object_or_404(
        Connection.objects.select_related("location"), code=code, adapter="qimen", is_active=True
    )
    at = timezone.now()
    try:
        body = request.body
    except RequestDataTooBig:
        body = b""
        is_too_large = True
    else:
        is_too_large = len(body) > BODY_MAX
    if is_too_large:
        answer = refuse_size(connection=connection, at=at, limit=BODY_MAX)
        return HttpResponse(answer, content_type=XML, status=413)
    answer = receive_qimen(connection=connection, query=request.GET.dict(), body=body, at=at)
    return HttpResponse(answer, content_type=XML)
