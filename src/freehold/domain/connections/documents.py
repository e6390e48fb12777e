"""Connections: where users come from and how they prove themselves."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, UnsetType

from freehold.domain.connections import shown
from freehold.domain.connections.options import SHAPES, ProviderOptions
from freehold.kernel.declare import (
    Computed,
    Document,
    Immutable,
    Indexed,
    Length,
    Merge,
    Part,
    Pattern,
    ServerSet,
    Unique,
    Variant,
)

Strategy = Literal[
    "ad", "adfs", "amazon", "apple", "dropbox", "bitbucket", "auth0-oidc", "auth0", "baidu", "bitly", "box", "custom",
    "daccount", "dwolla", "email", "evernote-sandbox", "evernote", "exact", "facebook", "fitbit", "github",
    "google-apps", "google-oauth2", "instagram", "ip", "line", "linkedin", "oauth1", "oauth2", "office365", "oidc",
    "okta", "paypal", "paypal-sandbox", "pingfederate", "planningcenter", "salesforce-community",
    "salesforce-sandbox", "salesforce", "samlp", "sharepoint", "shopify", "shop", "sms", "soundcloud",
    "thirtysevensignals", "twitter", "untappd", "vkontakte", "waad", "weibo", "windowslive", "wordpress", "yahoo",
    "yandex",
]  # fmt: skip
ENTERPRISE = frozenset({"ad", "adfs", "google-apps", "office365", "oidc", "okta", "pingfederate", "samlp", "waad"})
ClientId = Annotated[str, Length(1, 64)]


class Purpose(Part):
    """Whether the connection serves to sign in."""

    active: bool


class ConnectedAccounts(Part):
    """Whether users link accounts of the connection to act there."""

    active: bool
    cross_app_access: bool | UnsetType = UNSET


class Connection(Document):
    """A source of users: a database, a provider, a directory, or codes by mail and text message."""

    id: Annotated[str, ServerSet()]
    name: Annotated[str, Immutable(), Unique(), Length(1, 128), Pattern("^[a-zA-Z0-9](-[a-zA-Z0-9]|[a-zA-Z0-9])*$")]
    strategy: Annotated[Strategy, Immutable(), Indexed()]
    display_name: Annotated[str, Length(0, 128)] | UnsetType = UNSET
    options: Annotated[dict[str, Any] | None, Variant("strategy", SHAPES, ProviderOptions)] = {}
    enabled_clients: Annotated[list[ClientId] | UnsetType | None, Computed(shown.enabled_clients, accepted=True)] = (
        UNSET
    )
    is_domain_connection: bool = False
    show_as_button: bool | UnsetType = UNSET
    realms: list[Annotated[str, Length(1, 128)]] | UnsetType = UNSET
    metadata: Annotated[dict[Annotated[str, Length(1, 255)], Any] | UnsetType, Merge()] = UNSET
    authentication: Purpose | UnsetType = UNSET
    connected_accounts: ConnectedAccounts | UnsetType = UNSET
    cross_app_access_requesting_app: Purpose | UnsetType = UNSET
    provisioning_ticket_url: Annotated[str | UnsetType, ServerSet()] = UNSET


class ConnectionKey(Document):
    """A key with which a connection signs its requests to the provider."""

    kid: Annotated[str, ServerSet()]
    algorithm: Annotated[str, ServerSet()]
    key_use: Annotated[str, ServerSet()]
    subject_dn: Annotated[str, ServerSet()]
    cert: Annotated[str, ServerSet()]
    fingerprint: Annotated[str, ServerSet()]
    thumbprint: Annotated[str, ServerSet()]
    pkcs: Annotated[str, ServerSet()]
    current: Annotated[bool | UnsetType, ServerSet()] = UNSET
    next: Annotated[bool | UnsetType, ServerSet()] = UNSET
    previous: Annotated[bool | UnsetType, ServerSet()] = UNSET
    current_since: Annotated[str | UnsetType, ServerSet()] = UNSET
