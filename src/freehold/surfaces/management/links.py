"""Both sides of a Link: list what is related, relate more, part again."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from freehold.kernel.declare import documents, relations
from freehold.kernel.declare.paging import Page, answer
from freehold.kernel.declare.registry import Registry
from freehold.kernel.declare.shapes import Collection, Link, Scopes
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.http.response import Response, empty, json
from freehold.surfaces.management.call import ManagementCall
from freehold.surfaces.management.collections import read_body, shown

Work = Callable[[ManagementCall], Awaitable[Response]]


class Side(msgspec.Struct, frozen=True):
    """A Link as seen from one of its ends."""

    name: str
    link: Link
    path: str
    body: str
    scopes: Scopes
    fields: tuple[str, ...]
    near: Collection[Any]
    far: Collection[Any]
    reverse: bool
    verbs: frozenset[str]
    statuses: Mapping[str, int]

    def operations(self) -> Iterable[tuple[str, str, tuple[str, ...], Work, bool, int]]:
        """Name, method, scopes, work, whether it writes, and success status of each operation of this side."""
        if "list" in self.verbs:
            yield "list", "GET", self.scopes.read, self.listing(), False, 200
        if "create" in self.verbs:
            status = self.statuses.get("create", 204)
            yield "create", "POST", self.scopes.create, self.changing(status, add=True), True, status
        if "delete" in self.verbs:
            status = self.statuses.get("delete", 204)
            yield "delete", "DELETE", self.scopes.delete, self.changing(status, add=False), True, status

    def listing(self) -> Work:
        """GET: the far documents, paged."""

        async def work(call: ManagementCall) -> Response:
            near_id = await self._near(call)
            page = Page.of(call, self.far, styles=self.link.left_paging)
            bounded, limits = page.sql(prefix="d.")
            rows, total = await relations.related(
                call.store, call.tenant, self.link, self.far, near_id,
                reverse=self.reverse, bounds=bounded, limits=limits, count=page.totals,
            )  # fmt: skip
            records = [documents.to_record(call.tenant, self.far, row) for row in rows]
            items = []
            for record in page.take(records):
                body = await shown(call, self.far, record)
                items.append({k: v for k, v in body.items() if k in self.fields} if self.fields else body)
            return json(answer(page, self.far.items, items, total=total, following=page.following(records)))

        return work

    def changing(self, status: int, *, add: bool) -> Work:
        """POST relates, DELETE parts; ids that name nothing are refused when relating."""

        async def work(call: ManagementCall) -> Response:
            near_id = await self._near(call)
            ids = _ids(await read_body(call), self.body)
            pairs = [(id_, near_id) if self.reverse else (near_id, id_) for id_ in ids]
            if add:
                for id_ in ids:
                    if await documents.read(call.tx, call.tenant, self.far, id_) is None:
                        raise documents.missing(self.far)
                await relations.relate(call.tx, call.tenant, self.link, pairs)
            else:
                await relations.part(call.tx, call.tenant, self.link, pairs)
            return empty(status) if status == 204 else json({}, status)

        return work

    async def _near(self, call: ManagementCall) -> str:
        near_id = next(iter(call.params.values()))
        if await documents.read(call.reader, call.tenant, self.near, near_id) is None:
            raise documents.missing(self.near)
        return near_id


def sides(link: Link, registry: Registry) -> Iterable[Side]:
    """The sides of a link that have a path."""
    left, right = registry.collection(link.left), registry.collection(link.right)
    if link.left_path:
        yield Side(
            "left", link, link.left_path, link.left_body or right.name, link.left_scopes, link.left_fields, left, right,
            False, link.left_operations, link.left_statuses,
        )  # fmt: skip
    if link.right_path:
        yield Side(
            "right", link, link.right_path, link.right_body or left.name, link.right_scopes, link.right_fields, right,
            left, True, link.right_operations, link.right_statuses,
        )  # fmt: skip


def _ids(given: dict[str, Any], member: str) -> list[str]:
    unknown = [name for name in given if name != member]
    if unknown:
        raise InvalidBody(f"Payload validation error: 'Additional properties not allowed: {unknown[0][:40]}'.")
    ids = given.get(member)
    if ids is None:
        raise InvalidBody(f"Payload validation error: 'Missing required property: {member}'.")
    if not isinstance(ids, list) or not all(isinstance(id_, str) and id_ for id_ in ids):
        raise InvalidBody(f"Payload validation error: 'Expected type array of strings' on property {member}.")
    if not ids:
        raise InvalidBody(f"Payload validation error: 'Array is too short, minimum 1' on property {member}.")
    return list(dict.fromkeys(ids))
