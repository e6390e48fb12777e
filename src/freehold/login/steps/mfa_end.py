"""Where a second factor was shown: the session begins, or learns of it, and the sign-in goes on."""

from freehold.domain.authenticators import MFA, REMEMBERED, extend
from freehold.domain.sessions import Session, add_method
from freehold.domain.users import find_database
from freehold.kernel.http.response import Response
from freehold.login import cookies
from freehold.login.flow import SignInOver, Visit
from freehold.login.second_factor import Asked
from freehold.login.steps.sign_in import complete


async def passed(here: Visit, who: Asked) -> Response:
    """The second factor was shown: begin the session, or note it in the one that is there, and go on."""
    if who.session is None:
        database = await find_database(here.store, here.tenant, who.connection)
        if database is None:
            raise SignInOver
        return await complete(here, database, who.found, methods=("pwd", MFA))
    async with here.store.transaction() as tx:
        changed = await add_method(tx, here.tenant, who.session, MFA)
        if changed is None:
            raise SignInOver
        await here.save(tx, kept=None)
    return _go_on(here, *changed)


async def pass_remembered(here: Visit, who: Asked) -> Response:
    """The browser is remembered: note that in the session that is there, and go on."""
    assert who.session is not None  # without one the password step has seen to it
    async with here.store.transaction() as tx:
        changed = await add_method(tx, here.tenant, who.session, REMEMBERED)
        if changed is None:
            raise SignInOver
        await extend(tx, here.tenant, who.user.user_id, cookies.remembered(here.http) or "", guardian=who.guardian)
    return _go_on(here, *changed)


def _go_on(here: Visit, session: Session, value: str) -> Response:
    response = here.resume()
    cookies.set_session(response, session, value, now_ms=here.tenant.clock.now_ms())
    return response
