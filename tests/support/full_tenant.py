"""A tenant with at least one row of everything that is declared, made through the program's own functions.

`tests/laws` fails as long as a declaration has no row here, so whoever declares something new adds it below. Values
that no ordinary way out may show contain SEALED, secret members contain SECRET.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from freehold.domain import audit
from freehold.domain.access import CLIENT_GRANTS, CONSENTS, RESOURCE_SERVERS, ROLE_USERS, ROLES
from freehold.domain.administrators import add_administrator, owner_of
from freehold.domain.applications import CLIENT_CREDENTIALS, CLIENTS
from freehold.domain.attribute_profiles import PROFILES
from freehold.domain.audit import OPERATOR
from freehold.domain.authenticators import GUARDIAN, Guardian, enrol, remember_browser
from freehold.domain.ceremonies.evidence.executives import Material, enrol_anchor, enrol_executive, put_passkeys
from freehold.domain.ceremonies.evidence.material import Certificate
from freehold.domain.ceremonies.evidence.signatories import ExecutivePasskey
from freehold.domain.ceremonies.export_keys import keep_export_key
from freehold.domain.ceremonies.pieces import add_piece
from freehold.domain.ceremonies.policy import STRICT
from freehold.domain.ceremonies.records import insert_draft, new_ceremony_id
from freehold.domain.ceremonies.request import NamedExecutive, NamedRecipient, Person, Request
from freehold.domain.connections import CONNECTIONS
from freehold.domain.connections import keys as connection_keys
from freehold.domain.events import EVENTS
from freehold.domain.extensions import (
    ACTION_MODULES,
    ACTIONS,
    HOOK_SECRETS,
    HOOKS,
    RULES,
    RULES_CONFIGS,
    action_modules,
    bindings,
    executions,
    secrets,
    versions,
)
from freehold.domain.messaging import EMAIL_PROVIDER
from freehold.domain.protection import BOTS, BREACHED_PASSWORDS, BRUTE_FORCE, SUSPICIOUS_ADDRESSES
from freehold.domain.sessions import (
    Device,
    RefreshPolicy,
    create_session,
    issue_refresh_token,
    revoke_grant,
)
from freehold.domain.sessions.device_credentials import DEVICE_CREDENTIALS
from freehold.domain.tenants.directory import TenantDirectory
from freehold.domain.tenants.lifecycle import create
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.tickets import Ticket, issue_ticket
from freehold.domain.users import USERS, PreparedPassword, create_user, find_database
from freehold.kernel import vault
from freehold.kernel.crypto.openpgp import SigningKey
from freehold.kernel.crypto.passwords import hash_password
from freehold.kernel.crypto.sealing import Keyring, MasterKey
from freehold.kernel.declare import SYSTEM, TenantScope, documents, relations
from freehold.kernel.declare.compile import hidden_paths, project
from freehold.kernel.declare.registry import Registry
from freehold.kernel.store import Store, Transaction

SECRET, SEALED = "canary-of-a-secret", "canary-of-something-sealed"
DEVICE = Device(ip="192.0.2.1", user_agent="Firefox")
PEM = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo
4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0/IzW7yWR7QkrmBL7jTKEn5u
+qKhbwKfBstIs+bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyeh
kd3qqGElvW/VDL5AaWTg0nLVkjRo9z+40RQzuVaE8AkAFmxZzow3x+VJYKdjykkJ
0iT9wCS0DRTXu269V264Vf/3jvredZiKRkgwlL9xNAwxXFg0x/XFw005UWVRIkdg
cKWTjpBP2dPwVZ4WWC+9aGVd+Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbc
mwIDAQAB
-----END PUBLIC KEY-----
"""


def directory(store: Store, registry: Registry, master_key: MasterKey | None = None) -> TenantDirectory:
    """A directory of tenants over the store, with a master key of its own."""
    master = master_key or MasterKey([bytes(range(32))])
    return TenantDirectory(store, Keyring(master), store.clock, registry, EVENTS, audit.Witnesses([Remembering()]))


class Remembering:
    """A place besides the database that takes audit entries: this process."""

    name = "memory"

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    async def write(self, lines: Sequence[bytes]) -> None:
        self.lines += lines


async def make_full_tenant(store: Store, registry: Registry, master_key: MasterKey | None = None) -> TenantScope:
    """The tenant, with everything in it."""
    tenant = await create(store, directory(store, registry, master_key), "full", "full.test")
    user_id = await _people(store, tenant)
    await _applications(store, tenant, user_id)
    await _connections(store, tenant)
    await _administrators(store, tenant)
    await _signatories(store, tenant)
    await _extensions(store, tenant)
    await _vault(store, tenant, user_id)
    await _ceremony(store, tenant)
    return tenant


async def _ceremony(store: Store, tenant: TenantScope) -> None:
    """A request for an export, with a piece of evidence."""
    request = Request(
        tenant_id=tenant.id, tenant=tenant.name, domain=tenant.domain, ceremony_id=new_ceremony_id(), revision=1,
        kinds=("password_hashes",), connections=(), purpose="Žofie asked \u2028", needed_by=None,
        recipients=(NamedRecipient(email="a@x.test", fingerprint="AB" * 20, sha256="00" * 32, subkeys=()),),
        requester=Person(id="adm_1", name="Ada", email="a@x.test"),
        executive=NamedExecutive(id="exe_1", name="Grace", title="CSO", email="g@x.test"), language="en",
        retention_days=7, download_limit=3, nonce="00" * 16, policy=STRICT.snapshot,
        created_at="2026-01-01T00:00:00.000Z",
    )  # fmt: skip
    async with store.transaction() as tx:
        made = await insert_draft(tx, tenant, request, actor=audit.AuditActor("administrator", "adm_1"))
        await add_piece(tx, tenant, made, "recipient_key", subject="AB" * 20, content=b"\x00\xff", details={"a": [1]})
        key = SigningKey(fingerprint="AB" * 20, certificate="a certificate\n", secret=f"{SEALED}-openpgp")
        await keep_export_key(tx, tenant, key)


async def _people(store: Store, tenant: TenantScope) -> str:
    database = await find_database(store, tenant, "Username-Password-Authentication")
    assert database is not None
    profile = {
        "email": "ada@example.com",
        "name": "Ada \u2028 <b>",
        "user_metadata": {"z": 1.0, "a": [1, {"n": None}], "🦊": "\x7f"},
        "app_metadata": {"big": 9007199254740993},
    }
    async with store.transaction() as tx:
        password = PreparedPassword(hash_password(f"{SEALED}-password"))
        ada = await create_user(tx, tenant, database, profile, password=password)
        bob = await create_user(tx, tenant, database, {"email": "bob@example.com"}, password=None)
        await tx.run(
            "update users set last_login = '2026-01-01T00:00:00.000Z', logins_count = 3 where id = :id", id=ada.id
        )
        role = await documents.create(tx, tenant, ROLES, {"name": "Admin"})
        await relations.relate(tx, tenant, ROLE_USERS, [(role.id, ada.id)])
        session, _ = await create_session(
            tx, tenant, user_id=ada.id, connection=database.name, client_id="x", device=DEVICE
        )
        await issue_refresh_token(
            tx, tenant, user_id=ada.id, client_id="x", connection=database.name, policy=RefreshPolicy(rotating=True),
            resource_servers=[{"audience": "urn:api", "scopes": "openid"}], device=DEVICE, session_id=session.id,
        )  # fmt: skip
        await revoke_grant(tx, tenant, user_id=bob.id, grant_id="a-grant")
        await issue_ticket(tx, tenant, Ticket(kind="password_change", user_id=ada.id, payload={"email": "ada@x"}))
        await tenant.events.record(tx, tenant, "s", user_id=ada.id, description="signed in")
        await audit.record(tx, tenant, action="canary", actor=audit.OPERATOR, details={"é": [1, "<b>"]})
        await audit.checkpoint(tx, tenant)
        await _factors(tx, tenant, ada.id)
        await _mail(tx, tenant)
        await _protection(tx, tenant)
        attribute = {"label": "E-mail", "description": "é", "auth0_mapping": "email", "profile_required": True}
        await documents.create(tx, tenant, PROFILES, {"name": "Staff", "user_attributes": {"email": attribute}})
    return ada.id


async def _mail(tx: Transaction, tenant: TenantScope) -> None:
    credentials = {"smtp_host": "smtp.example.com", "smtp_user": "x", "smtp_pass": SEALED}
    await documents.update(
        tx, tenant, EMAIL_PROVIDER, documents.SINGLETON_ID, {"name": "smtp", "credentials": credentials}
    )


async def _protection(tx: Transaction, tenant: TenantScope) -> None:
    changes: dict[Any, dict[str, Any]] = {
        BRUTE_FORCE: {"max_attempts": 12, "allowlist": ["10.0.0.0/8"]},
        SUSPICIOUS_ADDRESSES: {"stage": {"pre-login": {"max_attempts": 7}}},
        BREACHED_PASSWORDS: {"enabled": True, "shields": ["block"]},
        BOTS: {"bot_detection_level": "high"},
    }
    for declaration, given in changes.items():
        await documents.update(tx, tenant, declaration, documents.SINGLETON_ID, given)


async def _factors(tx: Transaction, tenant: TenantScope, user_id: str) -> None:
    await documents.update(
        tx, tenant, GUARDIAN, documents.SINGLETON_ID, {},
        server={
            "factors": {"otp": True}, "policies": ["confidence-score"], "providers": {"duo/settings": {"host": "x"}},
            "twilio_auth_token": SECRET, "duo_skey": SECRET,
            **dict.fromkeys(("sns_secret", "apns_p12", "fcm_server_key", "fcmv1_server_credentials"), SEALED),
        },
    )  # fmt: skip
    await enrol(tx, tenant, user_id, secret="CANARY", step=59_000_000, recovery_hash=f"{SEALED}-recovery", facts={})
    await remember_browser(tx, tenant, user_id, value=None, guardian=Guardian())


async def _applications(store: Store, tenant: TenantScope, user_id: str) -> None:
    async with store.transaction() as tx:
        api = await documents.create(
            tx,
            tenant,
            RESOURCE_SERVERS,
            {
                "name": "API",
                "identifier": "urn:api",
                "signing_alg": "HS256",
                "signing_secret": SECRET,
                "scopes": [{"value": "read", "description": "Read"}],
            },
        )
        client = await documents.create(
            tx,
            tenant,
            CLIENTS,
            {
                "name": "Application",
                "app_type": "regular_web",
                "callbacks": ["https://app.test/cb"],
                "client_secret": f"{SECRET}-of-the-client-that-is-long-enough",
                "addons": {"slack": {"token": SECRET}},
            },
        )
        credential = {"credential_type": "public_key", "name": "key", "pem": PEM}
        await documents.create(tx, tenant, CLIENT_CREDENTIALS, credential, parent=client.id)
        grant = {"client_id": client.id, "audience": "urn:api", "scope": ["read"]}
        await documents.create(tx, tenant, CLIENT_GRANTS, grant)
        consent = {"clientID": client.id, "user_id": user_id, "audience": "urn:api", "scope": ["openid"]}
        await documents.create(tx, tenant, CONSENTS, consent)
        device = {
            "device_name": "Phone",
            "type": "public_key",
            "value": "AAAA",
            "device_id": "d1",
            "client_id": client.id,
        }
        await documents.create(tx, tenant, DEVICE_CREDENTIALS, device, server={"user_id": user_id})
        for table, owner, id_ in (
            ("role_permissions", "role_id", (await documents.select(tx, tenant, ROLES))[0].id),
            ("user_permissions", "user_id", user_id),
        ):
            await tx.run(
                f"insert into {table} (tenant_id, {owner}, resource_server_id, permission, created_at) "
                "values (:tenant_id, :owner, :api, 'read', 1)",
                tenant_id=tenant.id,
                owner=id_,
                api=api.id,
            )
        await documents.update(tx, tenant, SETTINGS, documents.SINGLETON_ID, {"friendly_name": "Full"})


async def _connections(store: Store, tenant: TenantScope) -> None:
    """A connection of each kind of options, with a canary in every secret member."""
    projection = project(CONNECTIONS.document)
    strategies = ["google-oauth2", *projection.variants["options"].shapes]
    for strategy in strategies:
        given: dict[str, Any] = {"name": f"every-{strategy}", "strategy": strategy, "options": {}}
        async with store.transaction() as tx:
            made = await documents.create(tx, tenant, CONNECTIONS, given)
            secrets, _ = hidden_paths(projection, made.document)
            for path in secrets:
                made.document.setdefault(path[0], {})[path[-1]] = (
                    {"h": SECRET} if path[-1] == "customHeaders" else SECRET
                )
            document = documents.typed(CONNECTIONS, made)
            await documents.save(tx, tenant, CONNECTIONS, made, document, now=tenant.clock.now_ms())
            if strategy == "okta":
                await connection_keys.ensure(tx, tenant, await documents.get(tx, tenant, CONNECTIONS, made.id))


async def _extensions(store: Store, tenant: TenantScope) -> None:
    """Code of each kind, with secrets."""
    async with store.transaction() as tx:
        await documents.create(
            tx, tenant, RULES, {"name": "A rule", "script": "function (user, context, cb) { cb(null, user, context); }"}
        )
        await documents.create(tx, tenant, RULES_CONFIGS, {"value": f"{SEALED}-rule"}, server={"key": "KEY"})
        hook = await documents.create(
            tx, tenant, HOOKS, {"name": "A hook", "script": "x", "triggerId": "credentials-exchange", "enabled": False}
        )
        secret = {"name": "KEY", "value": f"{SEALED}-hook"}
        await documents.create(tx, tenant, HOOK_SECRETS, secret, parent=hook.id)
        module = await documents.create(
            tx, tenant, ACTION_MODULES,
            {"name": "A module", "code": "", "secrets": [{"name": "KEY", "value": f"{SEALED}-module"}]},
        )  # fmt: skip
        await action_modules.publish(tx, tenant, module)
        given = {
            "name": "An action",
            "supported_triggers": [{"id": "post-login"}],
            "code": "exports.onExecutePostLogin = () => {}",
            "modules": [{"module_name": "A module"}],
        }
        action = await documents.create(
            tx, tenant, ACTIONS, {**given, "secrets": [{"name": "KEY", "value": f"{SEALED}-action"}]}
        )
        content = {
            "code": "exports.onExecutePostLogin = () => {}",
            "runtime": "node22",
            "supported_triggers": [{"id": "post-login", "version": "v3"}],
        }
        owner = f"actions/{action.id}"
        await versions.deploy(tx, tenant, action.id, content, secrets_from=owner)
        assert await secrets.values_of(tx, tenant, owner) == {"KEY": f"{SEALED}-action"}
        await bindings.replace(tx, tenant, "post-login", [(action.id, "Shown as")], actor=SYSTEM)
        await executions.keep(tx, tenant, executions.Execution("post-login", 1, results=[{"action_name": "An action"}]))
        await tx.run(
            """insert into module_sets (tenant_id, digest, packages, lock_file, created_at_ms)
            values (:tenant_id, 'd', '[["lodash","4.0.0"]]', '{}', 1)""",
            tenant_id=tenant.id,
        )


async def _administrators(store: Store, tenant: TenantScope) -> None:
    """Somebody with every factor, and an invitation that is open."""
    async with store.transaction() as tx:
        person = await add_administrator(
            tx, tenant, email="root@example.com", name="Root", role="admin", created_by="operator"
        )
        for kind, name in (("password_hashes", ""), ("mfa_secrets", "totp"), ("mfa_secrets", "recovery_code")):
            await vault.put(tx, tenant, kind, owner_of(person.id), f"{SEALED}-admin".encode(), name=name)
        await tx.run(
            """insert into administrator_passkeys (tenant_id, credential_id, administrator_id, name, public_key,
            sign_count, transports, aaguid, created_at_ms)
            values (:tenant_id, 'AAAA', :id, 'Key', 'pQ', 7, '["usb","nfc"]', 'a', 1)""",
            tenant_id=tenant.id,
            id=person.id,
        )
        await tx.run(
            """insert into administrator_links (tenant_id, id, value_hash, kind, email, email_key, role, issued_by,
            created_at_ms, expires_at_ms)
            values (:tenant_id, 'inv_1', 'h', 'invitation', 'New@x.test', 'new@x.test', 'viewer', :id, 1, 2)""",
            tenant_id=tenant.id,
            id=person.id,
        )


async def _signatories(store: Store, tenant: TenantScope) -> None:
    """Somebody who may sign forms, by a certificate and a passkey, and an authority."""
    certificate = Certificate(
        fingerprint="ab" * 32, certificate="PEM", subject="CN=Grace", issuer="CN=CA", emails=(),
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    async with store.transaction() as tx:
        grace = await enrol_executive(
            tx, tenant, name="Grace Hopper", title="CISO", email="Grace@example.com",
            material=Material(certificates=(certificate,)), actor=OPERATOR,
        )  # fmt: skip
        passkey = ExecutivePasskey(credential_id="AAAA", public_key="pQ")
        await put_passkeys(tx, tenant, grace.id, [passkey], actor=OPERATOR)
        await enrol_anchor(tx, tenant, name="CA", certificate=certificate, crls=["CRL"], actor=OPERATOR)


async def _vault(store: Store, tenant: TenantScope, user_id: str) -> None:
    """Something of every kind; text, and bytes that are no text."""
    async with store.transaction() as tx:
        for kind in tenant.registry.vault_kinds:
            await vault.put(tx, tenant, kind.name, "canary", f"{SEALED}-{kind.name}".encode())
            await vault.put(tx, tenant, kind.name, "canary", b"\x00\xff", name="bytes")


__all__ = ["SEALED", "SECRET", "USERS", "directory", "make_full_tenant"]
