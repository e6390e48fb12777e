"""The catalogue: complete in both languages, with Auth0's keys, and open to a tenant's words."""

import re
from importlib.resources import files

import pytest

from freehold.login.pages import SCREENS
from freehold.login.texts import LANGUAGES, _catalogue, screen_texts, screens

# The keys Auth0's custom-text API knows for the screens there are, so that a tenant's stored texts find their place.
AUTH0_KEYS = {
    ("login", "login"): """title description separatorText buttonText federatedConnectionButtonText signupActionLinkText
        signupActionText forgotPasswordText passwordPlaceholder usernamePlaceholder emailPlaceholder phonePlaceholder
        usernameOnlyPlaceholder phoneOrUsernameOrEmailPlaceholder phoneOrEmailPlaceholder phoneOrUsernamePlaceholder
        usernameOrEmailPlaceholder editEmailText alertListTitle invitationTitle invitationDescription logoAltText
        showPasswordText hidePasswordText wrong-credentials wrong-email-credentials wrong-username-credentials
        wrong-phone-credentials wrong-email-username-credentials wrong-email-phone-username-credentials
        wrong-email-phone-credentials wrong-phone-username-credentials invalid-code invalid-expired-code
        custom-script-error-code auth0-users-validation authentication-failure invalid-connection ip-blocked
        no-db-connection password-breached user-blocked same-user-login no-email no-password no-username""",
    (
        "login-id",
        "login-id",
    ): """title description passkeyButtonText invalid-username invalid-login-id invalid-email-phone
        invalid-email-username invalid-phone-username invalid-email-phone-username no-hrd-connection
        invalid-phone-number conflict-password-passkey password-not-allowed passkey-not-allowed no-passkey
        passkey-authentication-failed invalid-passkey""",
    ("login-password", "login-password"): "title description editLinkScreenReadableText useBiometricsText",
    ("signup", "signup"): """title description loginActionLinkText loginActionText passwordSecurityText
        emailOptionalPlaceholder usernameOptionalPlaceholder phoneOptionalPlaceholder accessibilityError
        accessibilityValid email-in-use password-too-weak password-policy-not-conformant password-too-common
        password-previously-used password-mismatch password-contains-user-information invalid-username
        invalid-username-max-length invalid-username-min-length invalid-username-invalid-characters
        invalid-username-email-not-allowed username-taken ip-signup-blocked no-password-reset no-re-enter-password
        no-identifier password-breached invalid-phone-attribute-config""",
    ("reset-password", "reset-password-request"): """title backToLoginLinkText buttonText descriptionEmail
        descriptionUsername placeholderEmail placeholderUsername emailDescription usernameDescription phoneDescription
        phoneOrUsernameOrEmailDescription phoneOrEmailDescription phoneOrUsernameDescription usernameOrEmailDescription
        auth0-users-expired-ticket auth0-users-used-ticket reset-password-error too-many-email too-many-requests
        no-phone_number invalid-phone-format invalid-login-id invalid-email-phone""",
    ("reset-password", "reset-password-email"): """title backButtonText emailDescription resendLinkText
        usernameDescription""",
    ("reset-password", "reset-password"): """title description buttonText passwordPlaceholder
        reEnterpasswordPlaceholder passwordSecurityText password-breached-reset password-mismatch""",
    ("reset-password", "reset-password-success"): "eventTitle description buttonText",
    ("reset-password", "reset-password-error"): """backToLoginLinkText descriptionExpired descriptionGeneric
        descriptionUsed eventTitleExpired eventTitleGeneric eventTitleUsed""",
    ("email-verification", "email-verification-result"): """pageTitle verifiedTitle errorTitle verifiedDescription
        alreadyVerifiedDescription invalidAccountOrCodeDescription unknownErrorDescription buttonText""",
    ("brute-force-protection", "brute-force-protection-unblock"): "pageTitle description buttonText logoAltText",
    ("brute-force-protection", "brute-force-protection-unblock-success"): "pageTitle description buttonText",
    ("brute-force-protection", "brute-force-protection-unblock-failure"): "pageTitle description buttonText",
    ("consent", "consent"): """pageTitle title pickerTitle audiencePickerAltText messageMultipleTenants
        messageSingleTenant acceptButtonText declineButtonText logoAltText invalid-action invalid-audience
        invalid-scope""",
    ("logout", "logout"): "pageTitle title userSalute description acceptButtonText declineButtonText logoAltText",
}
VARIABLE = re.compile(r"\$\{[^}]*\}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_screen_has_every_key_of_auth0(language: str) -> None:
    for (prompt, screen), keys in AUTH0_KEYS.items():
        assert set(keys.split()) <= set(_catalogue(language)[prompt, screen]), (prompt, screen)


def test_every_screen_of_a_page_has_texts() -> None:
    assert {(screen.prompt, screen.screen) for screen in SCREENS.values()} == set(screens())


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_languages_have_the_same_keys_and_the_same_variables(language: str) -> None:
    english, other = _catalogue("en"), _catalogue(language)

    assert english.keys() == other.keys()
    for place, texts in english.items():
        assert texts.keys() == other[place].keys(), place
        for key, text in texts.items():
            assert set(VARIABLE.findall(text)) == set(VARIABLE.findall(other[place][key])), (place, key)
            assert other[place][key].strip() or key == "errorPrefix"


def test_german_is_german() -> None:
    english, german = _catalogue("en"), _catalogue("de")

    same = {key for place, texts in english.items() for key, text in texts.items() if text == german[place][key]}
    assert same == {"logoAltText", "pageTitle", "audiencePickerAltText", "audienceTitle"}


def test_every_key_a_template_names_exists() -> None:
    source = "".join(path.read_text() for path in (files("freehold.login") / "templates").iterdir())
    named = set(re.findall(r'\bt[\[(]"([\w-]+)"[\]),]', source))
    known = {key for texts in _catalogue("en").values() for key in texts}

    assert len(named) > 50
    assert named <= known


def test_the_nearest_language_is_used() -> None:
    def title(language: str) -> str:
        return screen_texts("logout", "logout", language=language)["title"]

    assert title("de-AT") == title("de") == "Abmelden?"
    assert title("fr") == title("en") == "Sign out?"


def test_a_tenants_text_wins_key_by_key() -> None:
    custom = {"login": {"login": {"title": "Ahoy", "empty": ""}}}

    texts = screen_texts("login", "login", language="de", custom=custom)

    assert texts["title"] == "Ahoy"
    assert texts["buttonText"] == "Weiter"
    assert screen_texts("login-id", "login-id", language="de", custom=custom)["title"] == "Willkommen"


def test_variables_are_filled_in_once() -> None:
    custom = {"login": {"login": {"title": "${clientName} ${mine} ${mistyped} $clientName ${ clientName }"}}}
    variables = {"clientName": "${companyName}", "companyName": "Northwind"}

    texts = screen_texts("login", "login", language="en", custom=custom, variables=variables)

    assert texts("title", mine="") == "${companyName}  ${mistyped} $clientName ${ clientName }"


def test_a_language_of_the_tenants_own_is_filled_up_with_english() -> None:
    custom = {"login": {"login": {"title": "Bienvenue"}}}

    texts = screen_texts("login", "login", language="fr", custom=custom)

    assert (texts["title"], texts["buttonText"]) == ("Bienvenue", "Continue")
