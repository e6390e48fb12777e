"""The examples in Auth0's description of its user and log search find what that description says."""

import pytest

from freehold.kernel.search import InvalidQuery, translate
from freehold.kernel.store import Store, create_schema
from tests.kernel.search.people import FIELDS, MEMBERS, PEOPLE, fill, ids_of

JANE = {
    "id": "auth0|jane",
    "email": "Jane.Smith@Example.com",
    "name": "Jane Smith",
    "logins": 150,
    "blocked": False,
    "created_at": "2018-12-10T08:00:00.000Z",
    "team": ["org_1", "org_2"],
    "identities": [
        {"connection": "Username-Password-Authentication", "provider": "auth0", "isSocial": False},
        {"connection": "google-oauth2", "provider": "google-oauth2", "isSocial": True},
    ],
    "user_metadata": {
        "favorite_color": "blue",
        "approved": False,
        "preferences": {"fontSize": 13},
        "addresses": {"city": ["Paris", "Seattle"]},
    },
    "app_metadata": {"subscription": {"plan": "gold", "seats": 12}, "empty": {}, "none": None, "list": []},
}
JOHN = {
    "id": "auth0|john",
    "email": "john@elsewhere.org",
    "name": "John Richard Doe",
    "logins": 100,
    "created_at": "2019-01-01T12:23:45.000Z",
    "identities": [{"connection": "google-oauth2", "provider": "google-oauth2", "isSocial": True}],
    "user_metadata": {"addresses": [{"city": "Paris"}, {"city": "Rome"}]},
    "app_metadata": {"subscription": {"plan": "Gold", "seats": 7}},
}
ANNE = {"id": "sms|anne", "name": "Anneusa", "created_at": "2019-06-01T00:00:00.000Z", "blocked": True}
EVERYONE = ["auth0|jane", "auth0|john", "sms|anne"]


@pytest.fixture
async def store(empty_store: Store) -> Store:
    await create_schema(empty_store, [PEOPLE, MEMBERS])
    await fill(empty_store, [JANE, JOHN, ANNE])
    return empty_store


EXAMPLES = {
    # Terms and phrases, folded on the normalized fields only
    'name:"jane smith"': ["auth0|jane"],
    'name:"JANE Smith"': ["auth0|jane"],
    "email:jane.smith@example.com": ["auth0|jane"],
    'app_metadata.subscription.plan:"gold"': ["auth0|jane"],
    'app_metadata.subscription.plan:"Gold"': ["auth0|john"],
    "name:richard": [],
    "id:auth0": [],
    '"john richard doe"': ["auth0|john"],
    "anneusa": ["sms|anne"],
    "blue": [],
    # Metadata: nested objects, arrays are transparent, what is empty is not there
    "user_metadata.preferences.fontSize:13": ["auth0|jane"],
    'user_metadata.preferences.fontSize:"13"': ["auth0|jane"],
    'user_metadata.addresses.city:"Seattle"': ["auth0|jane"],
    'user_metadata.addresses.city:"Paris"': ["auth0|jane", "auth0|john"],
    "user_metadata.approved:false": ["auth0|jane"],
    "_exists_:user_metadata.favorite_color": ["auth0|jane"],
    "_exists_:user_metadata.preferences.fontSize": ["auth0|jane"],
    "_exists_:user_metadata.preferences": ["auth0|jane"],
    "_exists_:app_metadata.empty OR _exists_:app_metadata.none OR _exists_:app_metadata.list": [],
    "NOT _exists_:user_metadata.favorite_color": ["auth0|john", "sms|anne"],
    'identities.connection:"Username-Password-Authentication"': ["auth0|jane"],
    "identities.isSocial:true AND identities.provider:auth0": ["auth0|jane"],
    # Other fields
    "blocked:true": ["sms|anne"],
    "NOT blocked:true": ["auth0|jane", "auth0|john"],
    'email.domain:"example.com"': ["auth0|jane"],
    'NOT email.domain:"example.com"': ["auth0|john", "sms|anne"],
    'team:"org_2"': ["auth0|jane"],
    # Wildcards
    "name:john*": ["auth0|john"],
    "name:j*": ["auth0|jane", "auth0|john"],
    "name:*usa": ["sms|anne"],
    "name:*richard*": ["auth0|john"],
    "name:jane*smith": ["auth0|jane"],
    "id:auth0*": ["auth0|jane", "auth0|john"],
    "id:AUTH0*": [],
    "app_metadata.subscription.plan:go*": ["auth0|jane"],
    "name:*": EVERYONE,
    "email:*": ["auth0|jane", "auth0|john"],
    "*": EVERYONE,
    "*:*": EVERYONE,
    # Ranges
    "logins:[100 TO 150]": ["auth0|jane", "auth0|john"],
    "logins:{100 TO 150]": ["auth0|jane"],
    "logins:[100 TO 150}": ["auth0|john"],
    "logins:{100 TO *]": ["auth0|jane"],
    "logins:[* TO 100]": ["auth0|john"],
    "logins:>=100 AND logins:<150": ["auth0|john"],
    "logins:[-5 TO 99.5]": [],
    "app_metadata.subscription.seats:[8 TO 100]": ["auth0|jane"],
    "name:[jane TO john}": ["auth0|jane"],
    # Dates: what is missing from a date makes it longer
    "created_at:[2018-12 TO 2019-01-01}": ["auth0|jane"],
    "created_at:[2018-12-10 TO *]": EVERYONE,
    "created_at:{2018-12-10 TO *]": ["auth0|john", "sms|anne"],
    "created_at:[2019-01-01T01:00:00 TO 2019-01-01T12:23:45}": [],
    "created_at:[2019-01-01T01:00:00 TO 2019-01-01T12:23:45]": ["auth0|john"],
    "created_at:[* TO 2018]": ["auth0|jane"],
    "created_at:[* TO 2018-12-10}": [],
    "created_at:2018-12-10": ["auth0|jane"],
    'created_at:"2018-12-10T10:00:00+02:00"': ["auth0|jane"],
    "created_at:2019-01-01T12:23:45.000Z": ["auth0|john"],
    # Operators
    "name:j* AND blocked:false": ["auth0|jane"],
    "name:j* && blocked:false": ["auth0|jane"],
    "blocked:true OR logins:100": ["auth0|john", "sms|anne"],
    "blocked:true || logins:100": ["auth0|john", "sms|anne"],
    "name:j* NOT logins:100": ["auth0|jane"],
    "name:j* -logins:100": ["auth0|jane"],
    "+name:j* logins:100": ["auth0|jane", "auth0|john"],
    "!name:j*": ["sms|anne"],
    "blocked:true logins:100": ["auth0|john", "sms|anne"],
    "(blocked:true OR logins:150) AND name:j*": ["auth0|jane"],
    "blocked:true OR logins:150 AND name:john*": ["sms|anne"],
    'id:("auth0|jane" OR "sms|anne" OR "nobody")': ["auth0|jane", "sms|anne"],
    'name:("jane smith" "anneusa")': ["auth0|jane", "sms|anne"],
    "name:(+j* -john*)": ["auth0|jane"],
    "name:john*^2 OR blocked:true": ["auth0|john", "sms|anne"],
    # Escapes and quotes
    r"name:jane\ smith": ["auth0|jane"],
    r"id:auth0\|jane": ["auth0|jane"],
    "id:auth0|jane": ["auth0|jane"],
    r"name:j\*": [],
    'name:"j*"': [],
    # What is not there matches nothing, and its negation everything
    "favourite:blue": [],
    "NOT favourite:blue": EVERYONE,
    "_exists_:favourite": [],
    "tenant_id:acme": [],
    "document:*": [],
    "user_metadata.:1 OR user_metadata..a:1": [],
    "": EVERYONE,
    "   ": EVERYONE,
}


async def test_each_query_finds_what_it_is_said_to_find(store: Store) -> None:
    assert {query: await ids_of(store, query) for query in EXAMPLES} == EXAMPLES


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("name:*sa", "A literal behind the wildcard * must have 3 characters or more"),
        ("name:j*n", "A literal behind the wildcard * must have 3 characters or more"),
        ("*ab*", "A literal behind the wildcard * must have 3 characters or more"),
        ("name:jo?n", "The wildcard ? is not supported"),
        ("user_metadata.favorite_color:bl*", "Wildcards are not available on user_metadata fields"),
        ("user_metadata.preferences.fontSize:[1 TO 20]", "Ranges are not available on user_metadata fields"),
        ("logins:15*", "Wildcards are only available on text fields"),
        ("logins:many", "A number is expected on a numeric field"),
        ("blocked:maybe", "true or false is expected on a boolean field"),
        ("blocked:[true TO false]", "Ranges are not available on boolean fields"),
        ("created_at:2018-02-30", "A date such as 2018-12-31"),
        ("created_at:[yesterday TO *]", "A date such as 2018-12-31"),
        ("[1 TO 2]", "A range needs a field"),
        ("_exists_:[1 TO 2]", "A range needs a field"),
        ("logins:[1* TO 2]", "The end of a range is a value or *"),
        ("name:john~", "Fuzzy and proximity searches (~) are not supported"),
        ('"john doe"~2', "Fuzzy and proximity searches (~) are not supported"),
        ("name:/jo.n/", "Regular expressions are not supported"),
        ("created_at:2018-12-10T10:00:00+02:00", "A field cannot stand inside another field"),
        ("name:(email:x)", "A field cannot stand inside another field"),
        ('name:"jane', "The quotation mark at position 5 is not closed"),
        ("(name:jane", "A parenthesis is not closed"),
        ("name:jane)", "The parenthesis at position 9 closes nothing"),
        ("name:", "The query ends too early"),
        ("name:jane AND", "The query ends too early"),
        ("OR name:jane", "Syntax error at position 0"),
        ("logins:[1 2]", "Syntax error at position 10"),
        ("name:jane\\", "The character at position 9 cannot stand there"),
        ("a~1.2.3", "The number behind ~ or ^ cannot be read"),
    ],
)
def test_a_query_is_refused_with_its_reason(query: str, reason: str) -> None:
    with pytest.raises(InvalidQuery) as refused:
        translate(query, FIELDS)

    assert refused.value.status == 400
    assert refused.value.code == "invalid_query_string"
    assert refused.value.message.startswith(f"Query validation error: '{reason}")
