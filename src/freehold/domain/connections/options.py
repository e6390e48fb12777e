"""The `options` of a connection, by strategy.

A database connection is typed through and through. Of the other strategies those members are named that are checked or
kept secret; what else a provider needs is kept as given, because the contract leaves their options open.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, UnsetType

from freehold.kernel.declare import Length, OpenPart, Part, Range, Secret

READS_OPTIONS = ("read:connections", "read:connections_options")
DATABASE = "auth0"

Identifier = Literal["email", "phone_number", "username"]
AttributeStatus = Literal["required", "optional", "inactive"]
Word = Annotated[str, Length(1, 50)]
Script = Annotated[str, Length(1, 1_000_000)]


class UsernameLength(Part):
    """Bounds of a username."""

    min: Annotated[int, Range(1, 128)]
    max: Annotated[int, Range(1, 128)]


class Validation(Part):
    """Checks of a connection that takes usernames the older way."""

    username: UsernameLength | UnsetType | None = UNSET


class AttributeIdentifier(Part):
    """Whether people sign in with the attribute, and how."""

    active: bool | UnsetType = UNSET
    default_method: Literal["password", "email_otp", "phone_otp"] | UnsetType = UNSET


class Verification(Part):
    """Whether the attribute is verified at sign-up."""

    active: bool | UnsetType = UNSET


class AttributeSignup(Part):
    """The attribute at sign-up."""

    status: AttributeStatus | UnsetType = UNSET
    verification: Verification | UnsetType = UNSET


class EmailAttribute(Part):
    """E-mail as a flexible identifier."""

    identifier: AttributeIdentifier | UnsetType = UNSET
    profile_required: bool | UnsetType = UNSET
    signup: AttributeSignup | UnsetType = UNSET
    verification_method: Literal["link", "otp"] | UnsetType = UNSET
    unique: bool | UnsetType = UNSET


class PhoneAttribute(Part):
    """Phone number as a flexible identifier."""

    identifier: AttributeIdentifier | UnsetType = UNSET
    profile_required: bool | UnsetType = UNSET
    signup: AttributeSignup | UnsetType = UNSET


class UsernameTypes(Part):
    """What a username may look like besides a name."""

    email: bool | UnsetType = UNSET
    phone_number: bool | UnsetType = UNSET


class UsernameValidation(Part):
    """Bounds and forms of a username."""

    min_length: Annotated[int, Range(1, 128)] | UnsetType = UNSET
    max_length: Annotated[int, Range(1, 128)] | UnsetType = UNSET
    allowed_types: UsernameTypes | UnsetType = UNSET


class UsernameAttribute(Part):
    """Username as a flexible identifier."""

    identifier: AttributeIdentifier | UnsetType = UNSET
    profile_required: bool | UnsetType = UNSET
    signup: AttributeSignup | UnsetType = UNSET
    validation: UsernameValidation | UnsetType = UNSET


class Attributes(Part):
    """Flexible identifiers: what people sign in and sign up with."""

    email: EmailAttribute | UnsetType = UNSET
    phone_number: PhoneAttribute | UnsetType = UNSET
    username: UsernameAttribute | UnsetType = UNSET


class PasswordMethod(Part):
    """Sign-in by password."""

    enabled: bool | UnsetType = UNSET
    api_behavior: Literal["required", "optional"] | UnsetType = UNSET
    signup_behavior: Literal["allow", "block"] | UnsetType = UNSET


class Method(Part):
    """One authentication method."""

    enabled: bool | UnsetType = UNSET


class AuthenticationMethods(Part):
    """How people of the connection prove themselves."""

    password: PasswordMethod | UnsetType = UNSET
    passkey: Method | UnsetType = UNSET
    email_otp: Method | UnsetType = UNSET
    phone_otp: Method | UnsetType = UNSET


class PasskeyOptions(Part):
    """How passkeys are offered."""

    challenge_ui: Literal["both", "autofill", "button"] | UnsetType = UNSET
    progressive_enrollment_enabled: bool | UnsetType = UNSET
    local_enrollment_enabled: bool | UnsetType = UNSET


class ComplexityOptions(Part):
    """Length of passwords under `passwordPolicy`."""

    min_length: Annotated[int, Range(1, 128)] | UnsetType = UNSET


class HistoryOptions(Part):
    """Old passwords under `passwordPolicy`."""

    enable: bool
    size: Annotated[int, Range(0, 24)] | UnsetType = UNSET


class PersonalInfoOptions(Part):
    """Personal data in passwords under `passwordPolicy`."""

    enable: bool


class DictionaryOptions(Part):
    """Refused passwords under `passwordPolicy`."""

    enable: bool
    dictionary: list[Word] | UnsetType = UNSET


class Complexity(Part):
    """What a password is made of."""

    min_length: Annotated[int, Range(1, 72)] | UnsetType = UNSET
    character_types: list[Literal["uppercase", "lowercase", "number", "special"]] | UnsetType = UNSET
    character_type_rule: Literal["all", "three_of_four"] | UnsetType = UNSET
    identical_characters: Literal["allow", "block"] | UnsetType = UNSET
    sequential_characters: Literal["allow", "block"] | UnsetType = UNSET
    max_length_exceeded: Literal["truncate", "error"] | UnsetType = UNSET


class Dictionary(Part):
    """Passwords that are refused because they are known."""

    active: bool | UnsetType = UNSET
    custom: list[Word] | UnsetType = UNSET
    default: Literal["en_10k", "en_100k"] | UnsetType = UNSET


class History(Part):
    """Old passwords that are refused."""

    active: bool | UnsetType = UNSET
    size: Annotated[int, Range(1, 24)] | UnsetType = UNSET


class ProfileData(Part):
    """Members of the profile that a password must not contain."""

    active: bool | UnsetType = UNSET
    blocked_fields: list[Annotated[str, Length(1, 100)]] | UnsetType = UNSET


class PasswordOptions(Part):
    """The newer form of the password policy."""

    complexity: Complexity | UnsetType = UNSET
    dictionary: Dictionary | UnsetType = UNSET
    history: History | UnsetType = UNSET
    profile_data: ProfileData | UnsetType = UNSET


class CustomScripts(Part):
    """The customer's scripts for their own user store."""

    login: Script | UnsetType = UNSET
    get_user: Script | UnsetType = UNSET
    delete: Script | UnsetType = UNSET
    change_password: Script | UnsetType = UNSET
    verify: Script | UnsetType = UNSET
    create: Script | UnsetType = UNSET
    change_username: Script | UnsetType = UNSET
    change_email: Script | UnsetType = UNSET
    change_phone_number: Script | UnsetType = UNSET


class ProviderOptions(OpenPart):
    """Options of a strategy that nobody here has typed: those that are secret, and those of every provider."""

    client_id: str | UnsetType | None = UNSET
    client_secret: Annotated[str | UnsetType | None, Secret(READS_OPTIONS)] = UNSET
    app_secret: Annotated[str | UnsetType | None, Secret(READS_OPTIONS)] = UNSET
    consumer_secret: Annotated[str | UnsetType | None, Secret(READS_OPTIONS)] = UNSET
    clientSecret: Annotated[str | UnsetType | None, Secret(READS_OPTIONS)] = UNSET  # noqa: N815 - on the wire
    kid: str | UnsetType | None = UNSET
    team_id: str | UnsetType | None = UNSET
    api_key: Annotated[str | UnsetType | None, Secret(READS_OPTIONS)] = UNSET
    customHeaders: Annotated[dict[str, Any] | list[Any] | UnsetType | None, Secret(READS_OPTIONS)] = UNSET  # noqa: N815
    upstream_params: dict[str, Any] | UnsetType | None = UNSET
    non_persistent_attrs: list[str] | UnsetType | None = UNSET
    set_user_root_attributes: Literal["on_each_login", "on_first_login", "never_on_login"] | UnsetType = UNSET
    domain_aliases: list[str] | UnsetType | None = UNSET
    icon_url: str | UnsetType | None = UNSET


class OidcOptions(ProviderOptions):
    """OpenID Connect, also under the name of a product."""

    type: Literal["front_channel", "back_channel"] | UnsetType | None = UNSET
    issuer: str | UnsetType | None = UNSET
    scope: str | UnsetType | None = UNSET
    authorization_endpoint: str | UnsetType | None = UNSET
    token_endpoint: str | UnsetType | None = UNSET
    userinfo_endpoint: str | UnsetType | None = UNSET
    jwks_uri: str | UnsetType | None = UNSET
    discovery_url: str | UnsetType | None = UNSET
    domain: str | UnsetType | None = UNSET
    oidc_metadata: dict[str, Any] | UnsetType | None = UNSET
    token_endpoint_auth_method: Literal["client_secret_post", "private_key_jwt"] | UnsetType | None = UNSET
    token_endpoint_auth_signing_alg: (
        Literal["ES256", "ES384", "PS256", "PS384", "RS256", "RS384", "RS512"] | UnsetType | None
    ) = UNSET
    token_endpoint_jwtca_aud_format: Literal["issuer", "token_endpoint"] | UnsetType = UNSET
    id_token_signed_response_algs: (
        list[Literal["ES256", "ES384", "PS256", "PS384", "RS256", "RS384", "RS512"]] | UnsetType | None
    ) = UNSET
    dpop_signing_alg: Literal["ES256", "ES384", "ES512", "Ed25519"] | UnsetType = UNSET
    id_token_session_expiry_supported: bool | UnsetType = UNSET


class SamlOptions(ProviderOptions):
    """SAML, also under the name of a product."""

    signInEndpoint: str | UnsetType | None = UNSET  # noqa: N815
    signOutEndpoint: str | UnsetType | None = UNSET  # noqa: N815
    signingCert: str | UnsetType | None = UNSET  # noqa: N815
    decryptionKey: Annotated[Any, Secret(READS_OPTIONS)] = UNSET  # noqa: N815
    signing_key: Annotated[Any, Secret(READS_OPTIONS)] = UNSET
    metadataXml: str | UnsetType | None = UNSET  # noqa: N815
    metadataUrl: str | UnsetType | None = UNSET  # noqa: N815
    fieldsMap: dict[str, Any] | UnsetType | None = UNSET  # noqa: N815
    signSAMLRequest: bool | UnsetType | None = UNSET  # noqa: N815
    signatureAlgorithm: str | UnsetType | None = UNSET  # noqa: N815
    digestAlgorithm: str | UnsetType | None = UNSET  # noqa: N815


class PasswordlessOptions(ProviderOptions):
    """A code or a link by e-mail or text message."""

    brute_force_protection: bool | UnsetType = UNSET
    disable_signup: bool | UnsetType = UNSET
    twilio_token: Annotated[str | UnsetType | None, Secret(READS_OPTIONS)] = UNSET
    gateway_authentication: Annotated[dict[str, Any] | UnsetType | None, Secret(READS_OPTIONS)] = UNSET
    totp: dict[str, Any] | UnsetType | None = UNSET


class DatabaseOptions(OpenPart):
    """Users whom this server, or the customer's own store behind scripts, knows by password."""

    strategy_version: int | UnsetType = UNSET
    mfa: dict[str, Any] | UnsetType | None = UNSET
    passwordPolicy: (  # noqa: N815
        Literal["none", "low", "fair", "good", "excellent"] | UnsetType | None
    ) = UNSET
    password_complexity_options: ComplexityOptions | UnsetType | None = UNSET
    password_history: HistoryOptions | UnsetType | None = UNSET
    password_no_personal_info: PersonalInfoOptions | UnsetType | None = UNSET
    password_dictionary: DictionaryOptions | UnsetType | None = UNSET
    password_options: PasswordOptions | UnsetType = UNSET
    authentication_methods: AuthenticationMethods | UnsetType | None = UNSET
    passkey_options: PasskeyOptions | UnsetType | None = UNSET
    attributes: Attributes | UnsetType = UNSET
    precedence: Annotated[list[Identifier], Length(3, 3)] | UnsetType = UNSET
    validation: Validation | UnsetType | None = UNSET
    requires_username: bool | UnsetType = UNSET
    import_mode: bool | UnsetType = UNSET
    enabledDatabaseCustomization: bool | UnsetType = UNSET  # noqa: N815
    customScripts: CustomScripts | UnsetType | None = UNSET  # noqa: N815
    configuration: dict[Annotated[str, Length(1, 128)], str | None] | UnsetType | None = UNSET
    """Values for the scripts; kept in the vault, and shown as handles that are accepted back."""
    enable_script_context: bool | UnsetType = UNSET
    disable_signup: bool | UnsetType = UNSET
    disable_self_service_change_password: bool | UnsetType = UNSET
    brute_force_protection: bool | UnsetType = UNSET
    custom_password_hash: dict[str, Any] | UnsetType | None = UNSET
    non_persistent_attrs: list[str] | UnsetType | None = UNSET
    upstream_params: dict[str, Any] | UnsetType | None = UNSET
    set_user_root_attributes: Literal["on_each_login", "on_first_login", "never_on_login"] | UnsetType = UNSET


SHAPES = {
    DATABASE: DatabaseOptions,
    "oidc": OidcOptions,
    "okta": OidcOptions,
    "samlp": SamlOptions,
    "pingfederate": SamlOptions,
    "email": PasswordlessOptions,
    "sms": PasswordlessOptions,
}
