"""Expected refusals, raised where they are discovered.

Each protocol edge turns them into its own answer shape; nothing else builds an error response.
`code` is what a program compares (`errorCode` in the Management API, `error` in OAuth), the message is for people.
A bug is not one of these: it propagates, and the edge logs it with the request id.
"""


class FreeholdError(Exception):
    """A refusal with an HTTP status and a code; the message never holds a secret or long foreign input."""

    status = 500
    code = "server_error"
    is_recorded = False
    """Whether the tenant's audit log tells of it already."""

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class BadRequest(FreeholdError):
    """400: the request cannot be understood or breaks a rule of the operation."""

    status, code = 400, "invalid_request"


class Unauthorized(FreeholdError):
    """401: no credentials, or credentials that do not hold."""

    status, code = 401, "unauthorized"


class Forbidden(FreeholdError):
    """403: the caller is known and may not do this."""

    status, code = 403, "access_denied"


class NotFound(FreeholdError):
    """404: the object is absent, or belongs to another tenant, which looks the same."""

    status, code = 404, "not_found"


class Conflict(FreeholdError):
    """409: a unique value is taken, or someone else changed the object first."""

    status, code = 409, "conflict"


class PreconditionFailed(FreeholdError):
    """412: the object is not at the version named in If-Match (RFC 9110 section 13.1.1)."""

    status, code = 412, "precondition_failed"


class PayloadTooLarge(FreeholdError):
    """413: the body is larger than the operation takes."""

    status, code = 413, "payload_too_large"


class TooManyRequests(FreeholdError):
    """429: a limit was reached; `retry_after_s` says when to come back."""

    status, code = 429, "too_many_requests"

    def __init__(self, message: str = "", *, code: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class Unavailable(FreeholdError):
    """503: a dependency is missing or too slow right now."""

    status, code = 503, "temporarily_unavailable"
