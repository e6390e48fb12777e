"""Finding and listing: Lucene queries over an allow-list of fields, pages in three styles, a choice of fields.

`translate` makes a condition in SQL out of a query, `fields` says what can be searched, `ordering` reads `sort`,
`paging` reads the parameters of a listing and shapes its answer, `masks` keeps some fields of a document.
"""

from freehold.kernel.search.fields import (
    BooleanField,
    DateField,
    DomainField,
    Field,
    FieldSet,
    JsonField,
    NumberField,
    RelatedField,
    TextField,
)
from freehold.kernel.search.masks import Mask, read_mask
from freehold.kernel.search.ordering import order_by
from freehold.kernel.search.paging import Page, Pages, after_key, answer, decode_cursor, encode_cursor, read_page
from freehold.kernel.search.refusals import InvalidPaging, InvalidParameter, InvalidQuery
from freehold.kernel.search.translate import Filter, translate

__all__ = [
    "BooleanField",
    "DateField",
    "DomainField",
    "Field",
    "FieldSet",
    "Filter",
    "InvalidPaging",
    "InvalidParameter",
    "InvalidQuery",
    "JsonField",
    "Mask",
    "NumberField",
    "Page",
    "Pages",
    "RelatedField",
    "TextField",
    "after_key",
    "answer",
    "decode_cursor",
    "encode_cursor",
    "order_by",
    "read_mask",
    "read_page",
    "translate",
]
