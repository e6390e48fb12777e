"""The libraries that Auth0's sandbox had as globals, and the versions of those that scripts require without one.

Rules and database scripts were written for them. Only those that a script names are installed. A version is one that an
old script can use; where the original had a native part, it is a package of the same interface without.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

# The name of the global: what `require` is asked for, and a property of it where the global is one.
GLOBALS: Mapping[str, tuple[str, str]] = {
    "_": ("lodash@4.17.21", ""),
    "async": ("async@2.6.4", ""),
    "azure_storage": ("azure-storage@2.10.7", ""),
    "bcrypt": ("bcryptjs@2.4.3", ""),
    "couchbase": ("couchbase@2.6.12", ""),
    "cql": ("cassandra-driver@4.7.2", ""),
    "crypto": ("crypto", ""),
    "ip": ("ip@2.0.1", ""),
    "jwt": ("jsonwebtoken@8.5.1", ""),
    "knex": ("knex@0.95.15", ""),
    "Knex": ("knex@0.95.15", ""),
    "mongo": ("mongodb@3.7.4", ""),
    "mongodb": ("mongodb@3.7.4", ""),
    "BSON": ("bson@1.1.6", ""),
    "Double": ("bson@1.1.6", "Double"),
    "Long": ("bson@1.1.6", "Long"),
    "ObjectID": ("bson@1.1.6", "ObjectID"),
    "Timestamp": ("bson@1.1.6", "Timestamp"),
    "mysql": ("mysql@2.18.1", ""),
    "pbkdf2": ("pbkdf2@3.1.2", ""),
    "pg": ("pg@8.11.3", ""),
    "postgres": ("pg@8.11.3", ""),
    "pubnub": ("pubnub@4.37.0", ""),
    "Q": ("q@1.5.1", ""),
    "querystring": ("querystring", ""),
    "request": ("request@2.88.2", ""),
    "sqlserver": ("tedious@1.11.0", ""),
    "url": ("url", ""),
    "util": ("util", ""),
    "uuid": ("uuid@3.4.0", ""),
    "xml2js": ("xml2js@0.4.23", ""),
    "xmldom": ("xmldom@0.6.0", ""),
    "xpath": ("xpath@0.0.32", ""),
    "xtend": ("xtend@4.0.2", ""),
}

# Packages whose newest version a script of that time cannot use: it is an ECMAScript module, or lost the interface.
_OF_THEIR_TIME = {
    "auth0": "2.44.1",
    "aws-sdk": "2.1692.0",
    "axios": "0.21.4",
    "bluebird": "3.7.2",
    "body-parser": "1.20.2",
    "express": "4.19.2",
    "got": "11.8.6",
    "ipaddr.js": "1.9.1",
    "jwks-rsa": "1.12.3",
    "ldapjs": "2.3.3",
    "node-fetch": "2.7.0",
    "redis": "3.1.2",
    "request-promise": "4.2.6",
    "slack-notify": "0.1.7",
    "superagent": "3.8.3",
}
VERSIONS: Mapping[str, str] = {
    **_OF_THEIR_TIME,
    **dict(request.rsplit("@", 1) for request, _ in GLOBALS.values() if "@" in request),
    "bcrypt": "5.1.1",
}
"""What `require('name')` gets; a package that is not named here is the newest."""

READ_SCRIPTS = 128
"""Of so many scripts it is remembered what they need: a script is read at each sign-in, and may be long."""

_COMMENT_OR_TEXT = re.compile(
    r"""//[^\n]*|/\*.*?\*/|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`""", re.DOTALL
)
# A name that is used: not a member of something, not the key of an object, not a keyword before a function.
_USED = re.compile(
    r"(?<![\w$.])(?:\.\.\.)?([A-Za-z_$][\w$]*)(?!\s*:(?!:)|[\w$]|\s+function\b|\s*\([^()]*\)\s*=>|\s+[\w$]+\s*=>)"
)
_DECLARED = re.compile(r"\b(?:var|let|const|function|class|catch\s*\()\s*([A-Za-z_$][\w$]*)")
_TEMPLATE = re.compile(r"\$\{([^}]*)\}")


class Wanted(msgspec.Struct, frozen=True):
    """The globals that a script names, as `Script.globals` takes them, and the packages that have to be installed."""

    globals: Mapping[str, str]
    packages: tuple[tuple[str, str], ...]


@lru_cache(maxsize=READ_SCRIPTS)
def globals_named_in(code: str) -> Wanted:
    """What a script may mean by the names it uses. A name too many costs a package that is never loaded, no more."""
    inside_templates = " ".join(_TEMPLATE.findall(code))
    text = _COMMENT_OR_TEXT.sub(" '' ", code)
    words = set(_USED.findall(f"{text}\n{inside_templates}")) - set(_DECLARED.findall(text))
    found: dict[str, str] = {}
    packages: dict[tuple[str, str], None] = {}
    for name, (request, part) in GLOBALS.items():
        if name in words:
            found[name] = f"{request}#{part}" if part else request
            package, _, version = request.partition("@")
            if version:
                packages[package, version] = None
    return Wanted(found, tuple(packages))
