"""Second factors of users: authenticator apps (TOTP) and recovery codes, when they are asked for, who remembers them.

Where things lie, for whoever exports or imports them:

- Secrets are in the vault, kind `mfa_secrets`, owner = the user's id. The name says what a value is:
  `totp`, `totp/2`, ... a confirmed app: JSON `{"secret": BASE32}` (SHA-1, 6 digits, 30 seconds);
  `otp`, `otp/2`, ... the same, as Auth0's MFA file brought it: JSON `{"type": "otp", "secret": BASE32}`;
  `recovery_code` the one recovery code: its bcrypt hash, bare text;
  `recovery-code`, `recovery-code/2`, ... as Auth0's MFA file brought it: JSON `{"type": "recovery-code", "hash": ...}`,
  gone once a recovery code is made here;
  `phone`, `phone/2`, ... and `email`, ...: JSON `{"value": ...}`, kept and shown, not asked for yet;
  `pending/totp` and `pending/recovery_code`: begun and never proved. They are no factors and no part of an
  export of factors.
  `read_secret(content)` gives the secret or hash of any of them, `type_of(name)` and `is_pending(name)` say which it
  is.
- Owners that begin with `admin|` are administrators', not users'.
- The table `authenticators` has a row for each name above that was made or used here: ids, times, the last step used.
  It leaves and comes back with the tenant, so that a code used before a move is not valid behind it.
- `remembered_browsers` and `guardian` (factors, policies, providers) leave and come back too.
"""

from freehold.domain.authenticators import enrollments, guardian, methods
from freehold.domain.authenticators.authenticators import (
    Authenticator,
    Factors,
    begin_totp,
    factors_of,
    remove,
    remove_all,
    type_of,
)
from freehold.domain.authenticators.browsers import extend, is_remembered, lifetime, remember_browser
from freehold.domain.authenticators.demands import MFA, REMEMBERED, Demand, demand_for, mfa_audience
from freehold.domain.authenticators.policies import (
    GUARDIAN,
    MULTI_FACTOR,
    Guardian,
    Unmet,
    check_possible,
    guardian_of,
)
from freehold.domain.authenticators.tables import AUTHENTICATORS, REMEMBERED_BROWSERS
from freehold.domain.authenticators.verifying import (
    AlreadyEnrolled,
    ProvedRecovery,
    TooManyCodes,
    confirm_pending,
    enrol,
    fresh_recovery,
    match_new,
    prove_recovery,
    use_recovery,
    verify_totp,
)
from freehold.kernel.declare import Package
from freehold.kernel.vault import is_pending, read_secret

PACKAGE = Package(
    name="authenticators",
    declarations=(AUTHENTICATORS, REMEMBERED_BROWSERS, GUARDIAN),
    operations=(*guardian.OPERATIONS, *enrollments.OPERATIONS, *methods.OPERATIONS),
)

__all__ = [
    "AUTHENTICATORS",
    "GUARDIAN",
    "MFA",
    "MULTI_FACTOR",
    "PACKAGE",
    "REMEMBERED",
    "REMEMBERED_BROWSERS",
    "AlreadyEnrolled",
    "Authenticator",
    "Demand",
    "Factors",
    "Guardian",
    "ProvedRecovery",
    "TooManyCodes",
    "Unmet",
    "begin_totp",
    "check_possible",
    "confirm_pending",
    "demand_for",
    "enrol",
    "extend",
    "factors_of",
    "fresh_recovery",
    "guardian_of",
    "is_pending",
    "is_remembered",
    "lifetime",
    "match_new",
    "mfa_audience",
    "prove_recovery",
    "read_secret",
    "remember_browser",
    "remove",
    "remove_all",
    "type_of",
    "use_recovery",
    "verify_totp",
]
