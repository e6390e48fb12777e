"""An event of each trigger, with every member that the documentation names for it."""

import copy
from typing import Any

TIME = "2026-01-01T00:00:00.000Z"
GEO = {
    "cityName": "London", "continentCode": "EU", "countryCode": "GB", "countryCode3": "GBR",
    "countryName": "United Kingdom", "latitude": 51.5, "longitude": -0.1, "subdivisionCode": "ENG",
    "subdivisionName": "England", "timeZone": "Europe/London",
}  # fmt: skip
REQUEST = {
    "asn": "64500", "body": {}, "geoip": GEO, "hostname": "acme.test", "ip": "192.0.2.1", "language": "en",
    "method": "GET", "query": {}, "user_agent": "Firefox",
}  # fmt: skip
USER = {
    "app_metadata": {}, "created_at": TIME, "email": "ada@example.com", "email_verified": True,
    "family_name": "Lovelace", "given_name": "Ada", "last_password_reset": TIME, "name": "Ada Lovelace",
    "nickname": "ada", "phone_number": "+15550100", "phone_verified": True,
    "picture": "https://example.com/ada.png", "updated_at": TIME,
    "user_id": "auth0|ada", "user_metadata": {}, "username": "ada", "multifactor": [],
    "enrolledFactors": [{"type": "otp", "method": "otp", "options": {}}],
    "identities": [{"connection": "db", "provider": "auth0", "userId": "ada", "user_id": "ada", "isSocial": False,
                    "profileData": {"email": "ada@example.com"}}],
}  # fmt: skip
DEVICE = {f"{when}_{what}": "1" for when in ("initial", "last") for what in ("asn", "ip", "user_agent")}
CLIENT = {"client_id": "app", "name": "App", "metadata": {}}
CONNECTION = {"id": "con_1", "name": "db", "strategy": "auth0", "metadata": {}}
ORGANIZATION = {"id": "org_1", "name": "acme", "display_name": "Acme", "metadata": {}}
TENANT = {
    "id": "acme",
    "friendly_name": "Acme",
    "home_url": "https://acme.example",
    "support_email": "help@acme.example",
}
CUSTOM_DOMAIN = {"domain": "login.acme.example", "domain_metadata": {}}
ASSESSED = {"code": "assessment_not_available", "confidence": "neutral", "details": {}}
AUTHENTICATION = {
    "methods": [{"name": "pwd", "timestamp": TIME}],
    "riskAssessment": {
        "confidence": "neutral", "version": "1", "supplemental": {"akamai": {"akamaiBot": {}, "akamaiUserRisk": {}}},
        "assessments": dict.fromkeys(("ImpossibleTravel", "NewDevice", "UntrustedIP", "AgentDetection"), ASSESSED),
    },
}  # fmt: skip
TRANSACTION = {
    "id": "transaction", "acr_values": [], "locale": "en", "login_hint": "", "prompt": [], "state": "the-state",
    "protocol": "oidc-basic-profile", "redirect_uri": "https://app.example/callback", "requested_scopes": ["openid"],
    "requested_authorization_details": [{"type": "payment"}], "response_mode": "query", "response_type": ["code"],
    "ui_locales": ["en"], "metadata": {}, "correlation_id": "correlation", "linking_id": "linking",
}  # fmt: skip
SESSION = {
    "id": "session", "user_id": "auth0|ada", "created_at": TIME, "updated_at": TIME, "authenticated_at": TIME,
    "expires_at": TIME, "idle_expires_at": TIME, "last_interacted_at": TIME, "clients": [{"client_id": "app"}],
    "device": DEVICE, "cookie": {"mode": "persistent"}, "metadata": {},
}  # fmt: skip
REFRESH_TOKEN = {
    "id": "token", "client_id": "app", "created_at": TIME, "expires_at": TIME, "idle_expires_at": TIME,
    "rotating": True, "last_exchanged_at": TIME, "device": DEVICE, "metadata": {}, "resource_servers": [],
    "session_id": "session", "user_id": "auth0|ada",
}  # fmt: skip
_ALWAYS = {"client": CLIENT, "custom_domain": CUSTOM_DOMAIN, "request": REQUEST, "tenant": TENANT}
_PERSON = {**_ALWAYS, "connection": CONNECTION, "user": USER, "transaction": TRANSACTION}

EVENTS: dict[str, dict[str, Any]] = {
    "post-login": {
        **_PERSON, "authentication": AUTHENTICATION, "authorization": {"roles": ["admin"]}, "session": SESSION,
        "organization": ORGANIZATION, "refresh_token": REFRESH_TOKEN, "stats": {"logins_count": 1},
        "resource_server": {"identifier": "https://api.example.com"}, "security_context": {"ja3": "3", "ja4": "4"},
        "prompt": {"id": "form", "fields": {}, "vars": {}},
    },
    "credentials-exchange": {
        **_ALWAYS, "accessToken": {"customClaims": {}, "scope": ["read"]}, "organization": ORGANIZATION,
        "resource_server": {"identifier": "https://api.example.com"},
        "transaction": {"requested_scopes": ["read"], "target_scopes": ["read"], "correlation_id": "correlation"},
    },
    "pre-user-registration": {**_PERSON, "authentication": AUTHENTICATION},
    "post-user-registration": {**_PERSON, "authentication": AUTHENTICATION},
    "post-change-password": {**_PERSON, "authentication": AUTHENTICATION},
    "send-phone-message": {
        **_PERSON,
        "message_options": {"action": "enrollment", "code": "123456", "message_type": "sms", "recipient": "+15550100",
                            "text": "Your code is 123456"},
    },
    "password-reset-post-challenge": {
        **_PERSON, "authentication": AUTHENTICATION, "authorization": {"roles": []}, "organization": ORGANIZATION,
        "stats": {"logins_count": 1}, "prompt": {"id": "form", "fields": {}, "vars": {}},
    },
    "custom-token-exchange": {
        **_ALWAYS, "organization": ORGANIZATION, "resource_server": {"identifier": "https://api.example.com"},
        "transaction": {
            "requested_scopes": ["read"], "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token": "subject-token", "subject_token_type": "https://acme.example/legacy-token",
        },
    },
    "custom-phone-provider": {
        **_PERSON, "organization": ORGANIZATION,
        "notification": {"as_text": "Your code is 123456", "as_voice": "1 2 3 4 5 6", "code": "123456",
                         "delivery_method": "text", "from": "+15550199", "locale": "en", "message_type": "otp_verify",
                         "recipient": "+15550100"},
    },
    "custom-email-provider": {
        **_PERSON, "organization": ORGANIZATION,
        "notification": {"from": "help@acme.example", "html": "<p>Hello</p>", "locale": "en", "subject": "Hello",
                         "message_type": "verify_email", "text": "Hello", "to": "ada@example.com"},
    },
    "event-stream": {
        "message": {"id": "evt_1", "type": "user.created", "source": "urn:acme", "specversion": "1.0", "time": TIME,
                    "data": {"object": USER}},
    },
}  # fmt: skip


def event_of(trigger: str) -> dict[str, Any]:
    """A new event."""
    return copy.deepcopy(EVENTS[trigger])
