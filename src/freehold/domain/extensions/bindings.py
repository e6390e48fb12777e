"""Bindings: which actions run at a trigger, in which order."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, UnsetType

from freehold.domain.extensions.identifiers import new_uuid
from freehold.domain.extensions.triggers import TRIGGER_IDS
from freehold.kernel.declare import (
    Actor,
    Collection,
    Document,
    Indexed,
    Length,
    OpenPart,
    Part,
    Ref,
    Scopes,
    ServerSet,
    TenantScope,
    documents,
)
from freehold.kernel.declare.documents import Record
from freehold.kernel.errors import BadRequest
from freehold.kernel.store import Reader, Transaction

MOST = 100


class ActionBinding(Document):
    """An action's place at a trigger."""

    id: Annotated[str, ServerSet()]
    trigger_id: Annotated[str, ServerSet(), Indexed()]
    action_id: Annotated[str, ServerSet(), Ref("actions")]
    display_name: Annotated[str, ServerSet()]
    position: Annotated[int, ServerSet()]
    created_at: Annotated[str, ServerSet()] = ""
    updated_at: Annotated[str, ServerSet()] = ""


class BindingRef(OpenPart):
    """Names an action, by itself or by a binding it has."""

    value: str
    type: Literal["action_name", "action_id", "binding_id"] = "action_id"


class WantedBinding(Part):
    """One entry of the list that replaces a trigger's bindings."""

    ref: BindingRef
    display_name: Annotated[str, Length(0, 255)] = ""
    secrets: list[dict[str, Any]] | UnsetType = UNSET
    """Accepted, and without effect: secrets belong to actions."""


class Bindings(Part):
    """The list that replaces a trigger's bindings."""

    bindings: Annotated[list[WantedBinding], Length(0, MOST)] = []


def known_trigger(trigger: str) -> str:
    """The trigger's id. Raises BadRequest for one that does not exist."""
    if trigger not in TRIGGER_IDS:
        raise BadRequest(f"The trigger id has to be one of {', '.join(TRIGGER_IDS)}.", code="invalid_uri")
    return trigger


async def bound_to(reader: Reader, tenant: TenantScope, trigger: str) -> list[ActionBinding]:
    """A trigger's bindings in the order in which they run."""
    found = await documents.find_all(reader, tenant, ACTION_BINDINGS, trigger_id=trigger)
    return sorted(found, key=lambda binding: binding.position)


async def bindings_of(reader: Reader, tenant: TenantScope, action_id: str) -> list[Record]:
    """An action's bindings, at all triggers."""
    return await documents.select(reader, tenant, ACTION_BINDINGS, action_id=action_id)


async def replace(
    tx: Transaction, tenant: TenantScope, trigger: str, wanted: Sequence[tuple[str, str]], *, actor: Actor
) -> None:
    """Bind these actions, as (id, display name), in this order and no others; one that was bound keeps its binding."""
    before = {binding.action_id: binding for binding in await bound_to(tx, tenant, trigger)}
    if len({action_id for action_id, _ in wanted}) != len(wanted):
        raise BadRequest("An action is bound to a trigger once.")
    for action_id in before.keys() - {action_id for action_id, _ in wanted}:
        await documents.delete(tx, tenant, ACTION_BINDINGS, before[action_id].id, actor=actor)
    for position, (action_id, display_name) in enumerate(wanted, 1):
        members = {"display_name": display_name, "position": position}
        if action_id in before:
            known = before[action_id]
            if (known.display_name, known.position) != (display_name, position):
                await documents.update(tx, tenant, ACTION_BINDINGS, known.id, {}, actor=actor, server=members)
        else:
            await documents.create(
                tx, tenant, ACTION_BINDINGS, {}, actor=actor,
                server={"trigger_id": trigger, "action_id": action_id, **members},
            )  # fmt: skip


ACTION_BINDINGS = Collection(
    document=ActionBinding,
    path="actions/bindings",
    table="action_bindings",
    scopes=Scopes.of("actions"),
    new_id=new_uuid,
    operations=frozenset(),
)
