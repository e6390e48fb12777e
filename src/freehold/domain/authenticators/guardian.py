"""`/guardian/factors`, `/guardian/policies` and the settings of factors in the Management API.

Which factors are on and when they are asked for works; the providers of factors that this server cannot ask for yet
(SMS, push, Duo, WebAuthn) are kept as they were given, so that a tenant's configuration arrives and leaves whole.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from freehold.domain.authenticators.policies import FACTORS, GUARDIAN, Guardian, Policy, shown_settings
from freehold.kernel.declare import Length, Operation, Range, documents
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.shapes import Handler
from freehold.kernel.errors import BadRequest

_READ, _UPDATE = ("read:guardian_factors",), ("update:guardian_factors",)
_READ_POLICIES, _UPDATE_POLICIES = ("read:mfa_policies",), ("update:mfa_policies",)
LONGEST_TEMPLATE = 2_000
LONGEST_SECRET = 65_536


class _Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of the bodies here."""


class Switch(_Body):
    """Whether a factor is on."""

    enabled: bool


class MessageTypes(_Body):
    """How codes reach a phone."""

    message_types: Annotated[list[Literal["sms", "voice"]], Length(0, 2)]


class PhoneProvider(_Body):
    """Who sends codes to phones."""

    provider: Literal["auth0", "twilio", "phone-message-hook"]


class PhoneSettings(_Body):
    """Codes for phones."""

    otp_length: Annotated[int, Range(4, 10)]
    otp_expiration_time: Annotated[int, Range(30, 3_600)]


class Templates(_Body):
    """What messages with codes say."""

    enrollment_message: Annotated[str, Length(1, LONGEST_TEMPLATE)]
    verification_message: Annotated[str, Length(1, LONGEST_TEMPLATE)]


class Twilio(_Body):
    """An account at Twilio."""

    from_: Annotated[str, Length(0, 64)] | UnsetType | None = msgspec.field(name="from", default=UNSET)
    messaging_service_sid: Annotated[str, Length(0, 1_000)] | UnsetType | None = UNSET
    auth_token: Annotated[str, Length(0, 1_000)] | UnsetType | None = UNSET
    sid: Annotated[str, Length(0, 1_000)] | UnsetType | None = UNSET


class Duo(_Body):
    """An account at Duo."""

    ikey: Annotated[str, Length(0, 10_000)] | UnsetType | None = UNSET
    skey: Annotated[str, Length(0, 10_000)] | UnsetType | None = UNSET
    host: Annotated[str, Length(0, 10_000)] | UnsetType | None = UNSET


class PushProvider(_Body):
    """Who sends push notifications."""

    provider: Literal["guardian", "sns", "direct"]


class Sns(_Body):
    """An account at Amazon SNS."""

    aws_access_key_id: Annotated[str, Length(0, 10_000)] | UnsetType | None = UNSET
    aws_secret_access_key: Annotated[str, Length(0, 1_000)] | UnsetType | None = UNSET
    aws_region: Annotated[str, Length(0, 64)] | UnsetType | None = UNSET
    sns_apns_platform_application_arn: Annotated[str, Length(0, 1_000)] | UnsetType | None = UNSET
    sns_gcm_platform_application_arn: Annotated[str, Length(0, 1_000)] | UnsetType | None = UNSET


class Apns(_Body):
    """Apple's push notifications."""

    sandbox: bool | UnsetType = UNSET
    bundle_id: Annotated[str, Length(0, 10_000)] | UnsetType | None = UNSET
    p12: Annotated[str, Length(0, LONGEST_SECRET)] | UnsetType | None = UNSET


class Fcm(_Body):
    """Firebase, with a server key."""

    server_key: Annotated[str, Length(0, LONGEST_SECRET)] | UnsetType | None = UNSET


class FcmV1(_Body):
    """Firebase, with a service account."""

    server_credentials: Annotated[str, Length(0, LONGEST_SECRET)] | UnsetType | None = UNSET


class WebAuthn(_Body):
    """Security keys and the devices' own authenticators."""

    userVerification: Literal["discouraged", "preferred", "required"] | UnsetType = UNSET  # noqa: N815 - on the wire
    overrideRelyingParty: bool | UnsetType = UNSET  # noqa: N815 - on the wire
    relyingPartyIdentifier: Annotated[str, Length(0, 253)] | UnsetType | None = UNSET  # noqa: N815 - on the wire


class RememberSettings(_Body):
    """How browsers are remembered."""

    display_remember_me_checkbox: bool
    remember_me_default_value: bool
    mfa_session_inactivity_timeout: Annotated[int, Range(3_600, 2_592_000)]
    mfa_session_overall_timeout: Annotated[int, Range(3_600, 7_776_000)]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One object of settings: where it is shown, what may be in it, and where its secret goes."""

    paths: tuple[str, ...]
    body: type[_Body]
    default: Mapping[str, Any] = msgspec.field(default_factory=dict)
    hidden: str = ""
    """The member of the body that is a secret."""
    kept_as: str = ""
    """The member of the Guardian document that holds it; one that is readable is shown again."""
    patch: bool = False
    get: bool = True
    echo: bool = True
    """Whether the answer to a change repeats it."""
    repeats_hidden: bool = True
    """Whether that includes what was given as a secret."""
    told: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """Members that only reading adds."""

    @property
    def key(self) -> str:
        """The name under which it is stored."""
        return self.paths[0]

    @property
    def is_readable(self) -> bool:
        """Whether the secret is shown to who may read factors, as Auth0 does with some."""
        return self.kept_as in {"twilio_auth_token", "duo_skey"}

    def shown(self, guardian: Guardian) -> dict[str, Any]:
        """What a GET answers."""
        found = {**self.default, **guardian.providers.get(self.key, {}), **self.told}
        if self.hidden and self.is_readable:
            value = getattr(guardian, self.kept_as)
            found[self.hidden] = None if value is UNSET else value
        return found


SETTINGS = (
    Setting(paths=("phone/message-types",), body=MessageTypes, default={"message_types": []}),
    Setting(paths=("phone/selected-provider", "sms/selected-provider"), body=PhoneProvider,
            default={"provider": "auth0"}),
    Setting(paths=("phone/settings",), body=PhoneSettings, default={"otp_length": 6, "otp_expiration_time": 300}),
    Setting(
        paths=("phone/templates", "sms/templates"), body=Templates,
        default={
            "enrollment_message": "{{code}} confirms this number for {{tenant.friendly_name}}.",
            "verification_message": "{{code}} is your code for {{tenant.friendly_name}}.",
        },
    ),
    Setting(
        paths=("phone/providers/twilio", "sms/providers/twilio"), body=Twilio,
        default={"auth_token": None, "sid": None, "from": None, "messaging_service_sid": None},
        hidden="auth_token", kept_as="twilio_auth_token",
    ),
    Setting(paths=("duo/settings",), body=Duo, default={"ikey": None, "skey": None, "host": None}, hidden="skey",
            kept_as="duo_skey", patch=True),
    Setting(paths=("push-notification/selected-provider",), body=PushProvider, default={"provider": "guardian"}),
    Setting(
        paths=("push-notification/providers/sns",), body=Sns, hidden="aws_secret_access_key", kept_as="sns_secret",
        default={"aws_access_key_id": None, "aws_region": None, "sns_apns_platform_application_arn": None,
                 "sns_gcm_platform_application_arn": None},
        patch=True,
    ),
    Setting(paths=("push-notification/providers/apns",), body=Apns, default={"bundle_id": None, "sandbox": False},
            hidden="p12", kept_as="apns_p12", patch=True, repeats_hidden=False, told={"enabled": True}),
    Setting(paths=("push-notification/providers/fcm",), body=Fcm, hidden="server_key", kept_as="fcm_server_key",
            patch=True, get=False, echo=False),
    Setting(paths=("push-notification/providers/fcmv1",), body=FcmV1, hidden="server_credentials",
            kept_as="fcmv1_server_credentials", patch=True, get=False, echo=False),
    Setting(paths=("webauthn-roaming/settings",), body=WebAuthn, patch=True,
            default={"userVerification": "preferred", "overrideRelyingParty": False}),
    Setting(paths=("webauthn-platform/settings",), body=WebAuthn, patch=True,
            default={"overrideRelyingParty": False}),
)  # fmt: skip


async def list_factors(call: Call) -> list[dict[str, Any]]:
    """Every factor and whether it is on."""
    guardian = await documents.singleton(call.store, call.tenant, GUARDIAN)
    return [{"name": name, "enabled": guardian.factors.get(name, False), "trial_expired": False} for name in FACTORS]


async def set_factor(call: Call) -> dict[str, bool]:
    """Switch a factor on or off. Raises BadRequest for one that is none."""
    name = call.params["name"]
    if name not in FACTORS:
        raise BadRequest(
            f"Path validation error: 'No enum match for: {name[:40]}' on property name.", code="invalid_uri"
        )
    body: Switch = call.body
    guardian = await documents.singleton(call.tx, call.tenant, GUARDIAN)
    await _change(call, factors={**guardian.factors, name: body.enabled})
    await call.tenant.events.record(
        call.tx, call.tenant, "gd_tenant_update", description=f"{name}: {'on' if body.enabled else 'off'}"
    )
    return {"enabled": body.enabled}


async def list_policies(call: Call) -> list[Policy]:
    """When a second factor is asked for."""
    return (await documents.singleton(call.store, call.tenant, GUARDIAN)).policies


async def set_policies(call: Call) -> list[Policy]:
    """Change when a second factor is asked for."""
    policies: list[Policy] = list(dict.fromkeys(call.body))
    await _change(call, policies=policies)
    await call.tenant.events.record(
        call.tx, call.tenant, "gd_tenant_update", description=f"policies: {', '.join(policies) or 'none'}"
    )
    return policies


async def set_remembering(call: Call) -> dict[str, Any]:
    """Change how browsers are remembered."""
    await _change(call, **msgspec.to_builtins(call.body))
    return shown_settings(await documents.singleton(call.tx, call.tenant, GUARDIAN))


async def _change(call: Call, **members: Any) -> None:
    await documents.update(
        call.tx, call.tenant, GUARDIAN, documents.SINGLETON_ID, {}, actor=call.actor, server=members
    )  # fmt: skip


def _reading(setting: Setting) -> Handler:
    async def handler(call: Call) -> dict[str, Any]:
        return setting.shown(await documents.singleton(call.store, call.tenant, GUARDIAN))

    return handler


def _writing(setting: Setting, *, merge: bool) -> Handler:
    async def handler(call: Call) -> dict[str, Any]:
        given: dict[str, Any] = msgspec.to_builtins(call.body)
        guardian = await documents.singleton(call.tx, call.tenant, GUARDIAN)
        kept = {name: value for name, value in given.items() if name != setting.hidden}
        before = guardian.providers.get(setting.key, {}) if merge else {}
        members: dict[str, Any] = {"providers": {**guardian.providers, setting.key: {**before, **kept}}}
        if setting.hidden in given:
            secret = given[setting.hidden]
            members[setting.kept_as] = UNSET if secret is None and setting.is_readable else secret
        await _change(call, **members)
        if not setting.echo:
            return {}
        return given if setting.repeats_hidden else kept

    return handler


def _operations_of(setting: Setting) -> list[Operation]:
    found = []
    for path in setting.paths:
        full, name = f"guardian/factors/{path}", f"guardian.{path.replace('/', '.').replace('-', '_')}"
        if setting.get:
            found.append(
                Operation(method="GET", path=full, scopes=_READ, handler=_reading(setting), name=f"{name}.get")
            )
        methods: list[tuple[Literal["PUT", "PATCH"], str]] = [("PUT", "set"), ("PATCH", "update")]
        for method, verb in methods:
            if method == "PUT" or setting.patch:
                found.append(
                    Operation(
                        method=method,
                        path=full,
                        scopes=_UPDATE,
                        body=setting.body,
                        name=f"{name}.{verb}",
                        handler=_writing(setting, merge=method == "PATCH"),
                        audit=f"Update {path} of second factors",
                    )
                )
    return found


OPERATIONS = (
    Operation(method="GET", path="guardian/factors", scopes=_READ, handler=list_factors, name="guardian.factors.list"),
    Operation(
        method="PUT", path="guardian/factors/{name}", scopes=_UPDATE, body=Switch, handler=set_factor,
        name="guardian.factors.set", audit="Update a Multi-factor Authentication Factor",
    ),
    Operation(
        method="GET", path="guardian/policies", scopes=_READ_POLICIES, handler=list_policies,
        name="guardian.policies.list",
    ),
    Operation(
        method="PUT", path="guardian/policies", scopes=_UPDATE_POLICIES, body=list[Policy], handler=set_policies,
        name="guardian.policies.set", audit="Set the Multi-factor Authentication policies",
    ),
    Operation(
        method="PUT", path="guardian/settings", scopes=_UPDATE, body=RememberSettings, handler=set_remembering,
        name="guardian.settings.set", audit="Update how browsers are remembered",
    ),
    *(operation for setting in SETTINGS for operation in _operations_of(setting)),
)  # fmt: skip
