"""What actions ask for through `api`: checked here, because it was said by foreign code, and carried out elsewhere.

The worker notes every call of a method as a name and its arguments. What has the wrong shape fails the action, as it
would have failed there.
"""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

# They change a SAML response; where there is none, they change nothing (Auth0 docs), and here there never is one.
_SAML = tuple(
    f"samlResponse.set{name}"
    for name in (
        "Attribute", "Audience", "Recipient", "CreateUpnClaim", "PassthroughClaimsWithNoMapping",
        "MapUnknownClaimsAsIs",
        "MapIdentities", "SignatureAlgorithm", "DigestAlgorithm", "Destination", "LifetimeInSeconds", "SignResponse",
        "NameIdentifierFormat", "NameIdentifierProbes", "AuthnContextClassRef", "SigningCert",
        "IncludeAttributeNameFormat", "TypedAttributes", "EncryptionCert", "EncryptionPublicKey", "Cert", "Key",
        "RelayState", "Issuer", "EncryptionAlgorithm",
    )
)  # fmt: skip

METHODS: dict[str, tuple[str, ...]] = {
    "post-login": (
        "access.deny", "accessToken.setCustomClaim", "accessToken.addScope", "accessToken.removeScope",
        "authentication.challengeWith", "authentication.challengeWithAny", "authentication.enrollWith",
        "authentication.enrollWithAny", "authentication.recordMethod", "authentication.setPrimaryUser",
        "idToken.setCustomClaim", "multifactor.enable", "redirect.sendUserTo", "user.setAppMetadata",
        "user.setUserMetadata", "validation.error", "refreshToken.revoke", "refreshToken.setExpiresAt",
        "refreshToken.setIdleExpiresAt", "refreshToken.setMetadata", "refreshToken.deleteMetadata",
        "refreshToken.evictMetadata", "session.revoke", "session.setExpiresAt", "session.setIdleExpiresAt",
        "session.setCookieMode", "session.setMetadata", "session.deleteMetadata", "session.evictMetadata",
        "transaction.setMetadata", "prompt.render", *_SAML,
    ),
    "credentials-exchange": (
        "access.deny", "accessToken.setCustomClaim", "transaction.addTargetScope", "transaction.removeTargetScope",
        "transaction.setTargetScopes", "transaction.clearTargetScopes",
    ),
    "pre-user-registration": (
        "access.deny", "user.setAppMetadata", "user.setUserMetadata", "validation.error",
    ),
    "post-user-registration": (),
    "post-change-password": (),
    "send-phone-message": (),
    "password-reset-post-challenge": (
        "access.deny", "authentication.challengeWith", "authentication.challengeWithAny", "redirect.sendUserTo",
        "prompt.render", "transaction.setResultUrl",
    ),
    "custom-token-exchange": (
        "access.deny", "access.rejectInvalidSubjectToken", "authentication.setUserById",
        "authentication.setUserByConnection", "authentication.setOrganization", "authentication.setActor",
        "user.setAppMetadata", "user.setUserMetadata",
    ),
    "custom-phone-provider": ("notification.drop", "notification.retry"),
    "custom-email-provider": ("notification.drop", "notification.retry"),
    "event-stream": (),
}  # fmt: skip
"""By trigger. Some have no flow yet that calls them: their actions can be written and tried, and are not run."""

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
LARGEST_METADATA = 32_768


class BadCommand(ValueError):
    """A method of `api` was called with what it does not take."""


def checked(trigger: str, answered: Any) -> list[tuple[str, list[Any]]]:
    """The commands of an answer. Raises BadCommand."""
    allowed = METHODS[trigger]
    try:
        commands = msgspec.convert(answered, list[tuple[str, list[Any]]])
    except msgspec.ValidationError:
        raise BadCommand("The answer has the wrong form") from None
    for name, given in commands:
        if name not in allowed:
            raise BadCommand(f"There is no method {name[:80]}")
        _CHECKS.get(name.partition(".")[2], _anything)(name, given)
    return commands


def _anything(name: str, given: Sequence[Any]) -> None:
    """Nothing to check."""


def _key_and_value(name: str, given: Sequence[Any]) -> None:
    if not given or not isinstance(given[0], str) or not given[0]:
        raise BadCommand(f"{name} takes a name and a value")
    if len(msgspec.json.encode(given)) > LARGEST_METADATA:
        raise BadCommand(f"{name} takes at most {LARGEST_METADATA} bytes")


def are_scopes(value: Any) -> bool:
    """Whether this is a list of scopes, each of the characters that one may have (RFC 6749 section 3.3)."""
    return isinstance(value, list) and all(isinstance(each, str) and _SCOPE.fullmatch(each) for each in value)


def _scope(name: str, given: Sequence[Any]) -> None:
    if not are_scopes(list(given[:1]) or [None]):
        raise BadCommand(f"{name} takes one scope")


def _scopes(name: str, given: Sequence[Any]) -> None:
    if not given or not isinstance(given[0], list):
        raise BadCommand(f"{name} takes a list of scopes")
    for scope in given[0]:
        _scope(name, [scope])


def _url(name: str, given: Sequence[Any]) -> None:
    target = given[0] if given else None
    try:
        parts = urlsplit(target) if isinstance(target, str) else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in {"https", "http"} or not parts.hostname:
        raise BadCommand(f"{name} takes an absolute URL")
    options = (given[1] if len(given) > 1 else None) or {}
    query = options.get("query", {}) if isinstance(options, dict) else None
    if not isinstance(query, dict) or not all(isinstance(value, str | int | float) for value in query.values()):
        raise BadCommand(f"{name} takes a query of strings")


def _text(name: str, given: Sequence[Any]) -> None:
    if any(not isinstance(each, str | None) for each in given):
        raise BadCommand(f"{name} takes texts")


def _user(name: str, given: Sequence[Any]) -> None:
    if not given or not isinstance(given[0], str):
        raise BadCommand(f"{name} takes the id of a user")


def _form(name: str, given: Sequence[Any]) -> None:
    raise BadCommand(f"{name} needs a form, and there are no forms here")


def _moment(name: str, given: Sequence[Any]) -> None:
    if not given or not isinstance(given[0], int | float) or isinstance(given[0], bool) or not 0 <= given[0] < 2**53:
        raise BadCommand(f"{name} takes milliseconds since 1970")


def _mode(name: str, given: Sequence[Any]) -> None:
    if not given or given[0] not in ("persistent", "non-persistent"):  # in a set only what can be hashed is looked for
        raise BadCommand(f"{name} takes persistent or non-persistent")


_CHECKS = {
    "setCustomClaim": _key_and_value, "setAppMetadata": _key_and_value, "setUserMetadata": _key_and_value,
    "setMetadata": _key_and_value, "addScope": _scope, "removeScope": _scope, "addTargetScope": _scope,
    "removeTargetScope": _scope, "setTargetScopes": _scopes, "sendUserTo": _url, "deny": _text, "error": _text,
    "recordMethod": _url, "setPrimaryUser": _user, "setExpiresAt": _moment, "setIdleExpiresAt": _moment,
    "setCookieMode": _mode, "drop": _text, "retry": _text, "setResultUrl": _url,
    "deleteMetadata": _key_and_value, "render": _form,
}  # fmt: skip
