"""The form of a request: a function of the request alone, so that anybody can draw it again and compare."""

from datetime import datetime

from freehold.domain.ceremonies.evidence.form import FormContent, render_form
from freehold.domain.ceremonies.request import Request, digest, groups


def issued_form(request: Request) -> bytes:
    """The PDF that the executive signs. Drawing it takes a while: call it in a thread."""
    return render_form(form_content(request))


def form_content(request: Request) -> FormContent:
    """What the form says."""
    value = digest(request)
    first, *further = request.recipients
    return FormContent(
        tenant=request.tenant,
        domain=request.domain,
        ceremony_id=request.ceremony_id,
        digest=value.hex(),
        groups=groups(value),
        kinds=request.kinds,
        connections=request.connections,
        requester_name=request.requester.name,
        requester_email=request.requester.email,
        fingerprint=first.fingerprint,
        further_fingerprints=tuple(recipient.fingerprint for recipient in further),
        purpose=request.purpose,
        created_at=datetime.fromisoformat(request.created_at),
        retention_days=request.retention_days,
        executive_name=request.executive.name,
        executive_title=request.executive.title,
        executive_email=request.executive.email,
        language=request.language,
    )
