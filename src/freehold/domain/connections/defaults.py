"""What the options of a connection have that nobody gave them, by strategy, as recorded."""

import hashlib
import re
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from freehold.domain.connections.okta import okta_metadata
from freehold.kernel.clock import iso
from freehold.kernel.declare import TenantScope

Options = dict[str, Any]
Filler = Callable[[Options], None]

AUTHENTICATION_METHODS: dict[str, dict[str, Any]] = {
    "password": {"enabled": True, "api_behavior": "required", "signup_behavior": "allow"},
    "passkey": {"enabled": False},
    "email_otp": {"enabled": False},
    "phone_otp": {"enabled": False},
}
PASSKEY_OPTIONS = {"challenge_ui": "both", "progressive_enrollment_enabled": True, "local_enrollment_enabled": True}
BLOCKED_FIELDS = (
    "name", "username", "nickname", "email", "phone_number", "user_metadata.name", "user_metadata.first",
    "user_metadata.last",
)  # fmt: skip
PASSWORD_OPTIONS: dict[str, dict[str, Any]] = {
    "complexity": {
        "min_length": 15,
        "character_types": [],
        "character_type_rule": "all",
        "identical_characters": "allow",
        "sequential_characters": "allow",
        "max_length_exceeded": "error",
    },
    "profile_data": {
        "active": False,
        "blocked_fields": list(BLOCKED_FIELDS),
    },
    "history": {"active": False, "size": 3},
    "dictionary": {"active": False, "custom": [], "default": "en_100k"},
}
METADATA_FLAGS = (
    "claims_parameter_supported", "request_parameter_supported", "request_uri_parameter_supported",
    "require_request_uri_registration",
)  # fmt: skip
GOOGLE_SCOPES = {
    "email": "email",
    "profile": "profile",
    "calendar": "https://www.googleapis.com/auth/calendar",
    "contacts": "https://www.google.com/m8/feeds/",
    "drive": "https://www.googleapis.com/auth/drive",
    "gmail": "https://mail.google.com/",
    "tasks": "https://www.googleapis.com/auth/tasks",
    "youtube": "https://www.googleapis.com/auth/youtube",
}
_PASSIVE = "{http://docs.oasis-open.org/wsfed/federation/200706}PassiveRequestorEndpoint"
_ADDRESS = "{http://www.w3.org/2005/08/addressing}Address"


def fill(strategy: str, options: Options, *, new: bool) -> None:
    """Complete the options that a request gave; an update replaces them, and gets less than a new connection."""
    if strategy == "auth0":
        _fill_database(options, new=new)
    elif strategy in _FILLERS:
        _FILLERS[strategy](options)
    if new and strategy in {"ad", "email", "sms"}:
        options.setdefault("brute_force_protection", True)


def provisioning_ticket_url(tenant: TenantScope, strategy: str, ticket: str) -> str | None:
    """Where an administrator of the other side would finish the set-up; only some strategies have one."""
    if strategy not in {"ad", "adfs", "google-apps", "pingfederate", "samlp", "waad"}:
        return None
    return f"{tenant.issuer}p/{strategy}/{ticket}"


def _fill_database(options: Options, *, new: bool) -> None:
    if new:
        options.setdefault("mfa", {"active": True, "return_enroll_settings": True})
        if "password_options" not in options:
            options.setdefault("passwordPolicy", "good")
            options["password_options"] = {}
        options.setdefault("strategy_version", 2)
    if "password_options" in options:
        given = options["password_options"]
        options["password_options"] = {k: {**v, **given.get(k, {})} for k, v in PASSWORD_OPTIONS.items()}
    if options.get("authentication_methods") is None:
        options["authentication_methods"] = {}
    methods = options["authentication_methods"]
    options["authentication_methods"] = {
        **methods,
        **{name: {**default, **methods.get(name, {})} for name, default in AUTHENTICATION_METHODS.items()},
    }
    options["passkey_options"] = {**PASSKEY_OPTIONS, **(options.get("passkey_options") or {})}
    options.setdefault("brute_force_protection", True)
    email = options.get("attributes", {}).get("email")
    if email is not None:
        email.setdefault("verification_method", "link")
        email.setdefault("unique", True)


def _fill_oidc(options: Options) -> None:
    _setdefault(options, "type", "front_channel")
    options.setdefault("attribute_map", {"mapping_mode": "bind_all"})
    _fill_oidc_endpoints(options)


def _fill_okta(options: Options) -> None:
    _setdefault(options, "type", "back_channel")
    options.setdefault("attribute_map", {"mapping_mode": "basic_profile"})
    if options.get("domain") and not options.get("oidc_metadata"):
        options["oidc_metadata"] = okta_metadata(options["domain"])
    _fill_oidc_endpoints(options)


def _fill_oidc_endpoints(options: Options) -> None:
    options.setdefault("schema_version", "oidc-V4")
    options.setdefault("connection_settings", {"pkce": "auto"})
    metadata = options.get("oidc_metadata")
    if not isinstance(metadata, dict):
        return
    for flag in METADATA_FLAGS:
        metadata.setdefault(flag, False)
    for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "issuer"):
        if name in metadata:
            _setdefault(options, name, metadata[name])


def _fill_google(options: Options) -> None:
    options.setdefault("email", True)
    options.setdefault("profile", True)
    if "scope" not in options:
        options["scope"] = [scope for flag, scope in GOOGLE_SCOPES.items() if options.get(flag) is True]


def _fill_google_workspace(options: Options) -> None:
    _fill_google(options)
    options.setdefault("map_user_id_to_id", False)
    options.setdefault("handle_login_from_social", True)
    options.setdefault("api_enable_users", False)


def _fill_line(options: Options) -> None:
    options.setdefault("profile", True)
    wanted = {"openid", "profile", *(options.get("scope") or ())}
    options["scope"] = [scope for scope in ("openid", "email", "profile") if scope in wanted]


def _fill_wordpress(options: Options) -> None:
    options.setdefault("profile", True)
    options["scope"] = ["profile"]


def _fill_linkedin(options: Options) -> None:
    options.setdefault("profile", True)
    options.setdefault("scope", ["r_liteprofile" if options.get("strategy_version") == 2 else "r_basicprofile"])


def _fill_windowslive(options: Options) -> None:
    options.setdefault("signin", True)
    options.setdefault("scope", [] if options.get("strategy_version") == 2 else ["wl.signin"])


def _fill_entra(options: Options) -> None:
    options.setdefault("thumbprints", [])
    options.setdefault("identity_api", "microsoft-identity-platform-v2.0")
    options.setdefault("useCommonEndpoint", False)
    options.setdefault("waad_common_endpoint", False)
    options.setdefault("use_wsfed", False)
    options.setdefault("waad_protocol", "openid-connect")
    options.setdefault("should_trust_email_verified_connection", "never_set_emails_as_verified")


def _fill_adfs(options: Options) -> None:
    options.setdefault("thumbprints", [])
    options.setdefault("should_trust_email_verified_connection", "always_set_emails_as_verified")
    endpoint = _passive_endpoint(str(options.get("fedMetadataXml") or ""))
    if endpoint:
        _setdefault(options, "signInEndpoint", endpoint)


def _fill_saml(options: Options) -> None:
    pem = options.get("signingCert")
    if isinstance(pem, str):
        _fill_certificate(options, pem)


def _fill_ping(options: Options) -> None:
    _fill_saml(options)
    if "cert" in options:
        options.pop("signingCert", None)
    if options.get("pingFederateBaseUrl"):
        _setdefault(options, "signInEndpoint", options["pingFederateBaseUrl"])


def _fill_certificate(options: Options, pem: str) -> None:
    """Show whose certificate it is and until when, beside the certificate."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        return
    der = certificate.public_bytes(serialization.Encoding.DER)
    options["cert"] = pem
    options["thumbprints"] = [hashlib.sha1(der, usedforsecurity=False).hexdigest()]
    options["expires"] = iso(certificate.not_valid_after_utc)
    options["subject"] = {attribute.oid._name: str(attribute.value) for attribute in certificate.subject}


def _passive_endpoint(xml: str) -> str | None:
    """The WS-Federation sign-in URL in federation metadata; None when the XML is none, or has a DTD."""
    if not xml or re.search(r"<!DOCTYPE|<!ENTITY", xml, re.IGNORECASE):
        return None
    from xml.etree import ElementTree  # for the few connections that have metadata

    try:
        root = ElementTree.fromstring(xml)  # noqa: S314 - without a DTD there are no entities to expand
    except ElementTree.ParseError:
        return None
    for endpoint in root.iter(_PASSIVE):
        for address in endpoint.iter(_ADDRESS):
            return address.text
    return None


def _setdefault(options: Options, name: str, value: Any) -> None:
    """Like dict.setdefault, but null counts as absent."""
    if options.get(name) is None:
        options[name] = value


_FILLERS: dict[str, Filler] = {
    "ad": lambda options: options.setdefault("ips", None),
    "adfs": _fill_adfs,
    "facebook": lambda options: options.setdefault("scope", ""),
    "github": lambda options: options.setdefault("scope", []),
    "google-apps": _fill_google_workspace,
    "google-oauth2": _fill_google,
    "line": _fill_line,
    "linkedin": _fill_linkedin,
    "oidc": _fill_oidc,
    "okta": _fill_okta,
    "pingfederate": _fill_ping,
    "salesforce": lambda options: options.setdefault("scope", []),
    "samlp": _fill_saml,
    "waad": _fill_entra,
    "windowslive": _fill_windowslive,
    "wordpress": _fill_wordpress,
}
