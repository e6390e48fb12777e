"""The libraries that Auth0's sandbox had as globals, for rules and database scripts written for it.

Only those that a script names are installed. A version is one that an old script can use; where the original had a
native part, it is a package of the same interface without.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# The name of the global: what `require` is asked for, and a property of it where the global is one.
GLOBALS: Mapping[str, tuple[str, str]] = {
    "_": ("lodash@4.17.21", ""),
    "async": ("async@2.6.4", ""),
    "azure_storage": ("azure-storage@2.10.7", ""),
    "bcrypt": ("bcryptjs@2.4.3", ""),
    "couchbase": ("couchbase@4.4.5", ""),
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
    "sqlserver": ("tedious@11.8.0", ""),
    "url": ("url", ""),
    "util": ("util", ""),
    "uuid": ("uuid@3.4.0", ""),
    "xml2js": ("xml2js@0.4.23", ""),
    "xmldom": ("xmldom@0.6.0", ""),
    "xpath": ("xpath@0.0.32", ""),
    "xtend": ("xtend@4.0.2", ""),
}

_WORD = re.compile(r"(?<![\w$.])[A-Za-z_$][\w$]*")


@dataclass(frozen=True)
class Wanted:
    """The globals that a script names, as `Script.globals` takes them, and the packages that have to be installed."""

    globals: Mapping[str, str]
    packages: tuple[tuple[str, str], ...]


def globals_named_in(code: str) -> Wanted:
    """What a script may mean by the names it uses. A name too many costs a package that is never loaded, no more."""
    words = set(_WORD.findall(code))
    found: dict[str, str] = {}
    packages: dict[tuple[str, str], None] = {}
    for name, (request, part) in GLOBALS.items():
        if name in words:
            found[name] = f"{request}#{part}" if part else request
            package, _, version = request.partition("@")
            if version:
                packages[package, version] = None
    return Wanted(found, tuple(packages))
