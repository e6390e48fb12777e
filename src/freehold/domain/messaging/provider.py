"""`/emails/provider`: the service that a tenant's mail goes through.

Every provider that Auth0 knows can be configured and comes back; mail is sent through `smtp`, or by an action through
`custom`, and stays in the local outbox with any other. Credentials are accepted and never shown.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from freehold.kernel import vault
from freehold.kernel.declare import (
    Document,
    Length,
    Operation,
    Part,
    Range,
    Scopes,
    Sealed,
    Singleton,
    TenantScope,
    Variant,
    documents,
)
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.compile import hidden_paths, project
from freehold.kernel.declare.fields import Fields
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import Conflict, NotFound
from freehold.kernel.store import Reader

SECRETS = "write_only_secrets"
DEFAULT_PORT, SMTPS_PORT = 587, 465
Shown = str | UnsetType
Hidden = Annotated[str | UnsetType, Sealed(SECRETS)]


class SmtpCredentials(Part):
    """An SMTP server and the account there."""

    smtp_host: Annotated[str, Length(1, 253)]
    smtp_port: Annotated[int, Range(1, 65_535)] | UnsetType = UNSET
    smtp_user: Shown = UNSET
    smtp_pass: Hidden = UNSET


class ServiceCredentials(Part):
    """How any other service knows the tenant; which members count depends on the service."""

    api_user: Shown = UNSET
    api_key: Hidden = UNSET
    domain: Shown = UNSET
    region: str | UnsetType | None = UNSET
    accessKeyId: Hidden = UNSET  # noqa: N815 - the names on the wire
    secretAccessKey: Hidden = UNSET  # noqa: N815
    connectionString: Hidden = UNSET  # noqa: N815
    tenantId: Shown = UNSET  # noqa: N815
    clientId: Shown = UNSET  # noqa: N815
    clientSecret: Hidden = UNSET  # noqa: N815


class EmailProvider(Document, kw_only=True):
    """The service that sends the tenant's mail."""

    name: Literal[
        "", "mailgun", "mandrill", "sendgrid", "resend", "ses", "sparkpost", "smtp", "azure_cs", "ms365", "custom"
    ] = ""
    enabled: bool = True
    default_from_address: Shown = UNSET
    credentials: Annotated[dict[str, Any], Variant("name", {"smtp": SmtpCredentials}, ServiceCredentials)] = {}
    settings: dict[str, Any] | UnsetType | None = UNSET


class Relay(msgspec.Struct, frozen=True, kw_only=True):
    """An SMTP server and how it is used."""

    host: str
    port: int
    username: str = ""
    password: str = ""
    sender: str = ""
    implicit_tls: bool = False
    is_operators: bool = False


async def relay_of(reader: Reader, tenant: TenantScope) -> Relay | None:
    """The SMTP server that the tenant's mail goes through, or None when it chose none."""
    provider = await documents.singleton(reader, tenant, EMAIL_PROVIDER)
    known = provider.credentials
    if provider.name != "smtp" or not provider.enabled:
        return None
    sealed = await vault.open_one(reader, tenant, SECRETS, _OWNER, name="credentials.smtp_pass")
    port = known.get("smtp_port", DEFAULT_PORT)
    return Relay(
        host=known["smtp_host"],
        port=port,
        username=known.get("smtp_user", ""),
        password="" if sealed is None else msgspec.json.decode(sealed, type=str),
        sender=provider.default_from_address if isinstance(provider.default_from_address, str) else "",
        implicit_tls=port == SMTPS_PORT,
    )


async def get_provider(call: Call) -> dict[str, Any]:
    """GET emails/provider. Raises NotFound."""
    record = await _read(call)
    if record is None:
        raise _none()
    return Fields.of(call).apply(_shown(record))


async def create_provider(call: Call) -> dict[str, Any]:
    """POST emails/provider. Raises Conflict."""
    if await _read(call) is not None:
        raise Conflict("Email provider is already configured.", code="email_provider_conflict")
    return await _store(call)


async def update_provider(call: Call) -> dict[str, Any]:
    """PATCH emails/provider. Raises NotFound."""
    if await _read(call) is None:
        raise _none()
    return await _store(call)


async def delete_provider(call: Call) -> None:
    """DELETE emails/provider; one that is not there is a success (recorded)."""
    await call.tx.run("delete from email_provider where tenant_id = :tenant_id", tenant_id=call.tenant.id)
    await vault.drop(call.tx, call.tenant, SECRETS, _OWNER)
    call.tx.touch(call.tenant.id)


async def _read(call: Call) -> documents.Record | None:
    return await documents.read(call.reader, call.tenant, EMAIL_PROVIDER, documents.SINGLETON_ID)


async def _store(call: Call) -> dict[str, Any]:
    given = await call.request.body_params()
    for name in ("name", "credentials"):
        if not given.get(name) and (call.request.method == "POST" or name in given):
            raise InvalidBody(f"Payload validation error: 'Missing required property: {name}'.")
    record = await documents.update(
        call.tx, call.tenant, EMAIL_PROVIDER, documents.SINGLETON_ID, given, actor=call.actor
    )  # fmt: skip
    return _shown(record)


def _shown(record: documents.Record) -> dict[str, Any]:
    """The document without what is sealed."""
    shown = record.document
    for path in hidden_paths(project(EmailProvider), shown)[1]:
        inner = shown
        for member in path[:-1]:
            inner = inner.get(member) or {}
        inner.pop(path[-1], None)
    return shown


def _none() -> NotFound:
    return NotFound("There is not a configured email provider", code="inexistent_email_provider")


EMAIL_PROVIDER: Singleton[EmailProvider] = Singleton(
    document=EmailProvider,
    path="emails/provider",
    scopes=Scopes(("read:email_provider",), ("create:email_provider",), ("update:email_provider",)),
    table="email_provider",
    overrides={"get": get_provider, "update": update_provider},
    audit="email provider",
)
_OWNER = f"{EMAIL_PROVIDER.name}/{documents.SINGLETON_ID}"

OPERATIONS = (
    Operation(
        method="POST", path="emails/provider", scopes=("create:email_provider",), handler=create_provider, status=201,
        name="email_provider.create", audit="Configure the email provider",
    ),
    Operation(
        method="DELETE", path="emails/provider", scopes=("delete:email_provider",), handler=delete_provider,
        status=204, name="email_provider.delete", audit="Delete the email provider",
    ),
)  # fmt: skip
