"""From the text of a query to a tree of luqum's items, within bounds.

luqum reads the grammar; it knows no limits and neither `&&`, `||` nor `!`. So the text is cut into luqum's tokens
first, counted, completed by those three operators, and only then parsed: what a stranger sends can neither nest deeper
than the recursion of the translation nor grow into more conditions than a database takes.
"""

from collections.abc import Iterator
from typing import Any

from luqum.exceptions import IllegalCharacterError, ParseError
from luqum.head_tail import TokenValue
from luqum.tree import Item, Phrase, Word

from freehold.kernel.search.refusals import InvalidQuery

MAX_LENGTH = 8192
MAX_TOKENS = 1000
MAX_DEPTH = 40


def parse(query: str) -> Item:
    """The query's tree; at least one term. Raises InvalidQuery."""
    from luqum.parser import parser  # 40 ms of building tables, which a server that never searches saves

    check_text(query)
    tokens = _tokens(query)
    _check_shape(tokens)
    remaining = iter(tokens)
    try:
        return parser.parse(tokenfunc=lambda: next(remaining, None))
    except ParseError as error:
        raise InvalidQuery(_where(query, str(error))) from None
    except (ValueError, ArithmeticError):
        # The number behind ~ or ^ goes through int() or Decimal() inside luqum.
        raise InvalidQuery("The number behind ~ or ^ cannot be read") from None


def check_text(query: str) -> None:
    """Raises InvalidQuery for what is too long, or holds characters that no database stores."""
    if len(query) > MAX_LENGTH:
        raise InvalidQuery(f"String is too long ({len(query)} chars), maximum {MAX_LENGTH}")
    if "\0" in query or not _is_unicode(query):
        raise InvalidQuery("The query holds a NUL character or half a surrogate pair")


def literals(term: Word | Phrase) -> tuple[str, ...]:
    """The term's text without quotes and escapes, cut at each wildcard: `jane*` is `("jane", "")`.

    Raises InvalidQuery for `?`, which matches nothing in particular at Auth0.
    """
    raw: str = term.value
    if isinstance(term, Phrase):
        return (unescape(raw[1:-1]),)
    parts, current, position = [], [], 0
    while position < len(raw):
        char = raw[position]
        if char == "\\":
            position += 1
            current.append(raw[position])
        elif char == "*":
            parts.append("".join(current))
            current = []
        elif char == "?":
            raise InvalidQuery("The wildcard ? is not supported; put a value that holds a question mark into quotes")
        else:
            current.append(char)
        position += 1
    parts.append("".join(current))
    # Stars side by side are one star.
    return (parts[0], *(part for part in parts[1:-1] if part), parts[-1]) if len(parts) > 1 else (parts[0],)


def path(name: str) -> tuple[str, ...]:
    """A field's name cut at its dots; an escaped dot belongs to the name."""
    parts, current, position = [], [], 0
    while position < len(name):
        if name[position] == "\\" and position + 1 < len(name):
            position += 1
            current.append(name[position])
        elif name[position] == ".":
            parts.append("".join(current))
            current = []
        else:
            current.append(name[position])
        position += 1
    return (*parts, "".join(current))


def unescape(text: str) -> str:
    """The text without the backslashes that escape the character behind them."""
    out, position = [], 0
    while position < len(text):
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
        out.append(text[position])
        position += 1
    return "".join(out)


def _tokens(query: str) -> list[Any]:
    """luqum's tokens, with `&&`, `||` and a leading `!` turned into the words they stand for."""
    from luqum.parser import lexer

    def operator(token: Any, kind: str, length: int) -> Any:
        value = TokenValue(token.value.value[:length])
        value.pos, value.size, value.head = token.lexpos, length, token.value.head
        token.type, token.value = kind, value
        return token

    def read() -> Iterator[Any]:
        mine = lexer.clone()
        mine.input(query)
        while (token := mine.token()) is not None:
            if token.type == "TERM":
                text = token.value.value
                if text in _OPERATORS:
                    token = operator(token, _OPERATORS[text], 2)
                elif text.startswith("!"):
                    mine.lexpos = token.lexpos + 1
                    token = operator(token, "NOT", 1)
            yield token

    found = []
    try:
        for token in read():
            found.append(token)
            if len(found) > MAX_TOKENS:
                raise InvalidQuery(f"The query has more than {MAX_TOKENS} terms and operators")
    except IllegalCharacterError as error:
        raise InvalidQuery(_unreadable(query, error)) from None
    if not found:
        raise InvalidQuery("The query is empty")
    return found


_OPERATORS = {"&&": "AND_OP", "||": "OR_OP"}


def _check_shape(tokens: list[Any]) -> None:
    """Raises InvalidQuery for what nests too deeply, and for parentheses that are not in pairs.

    `pending` has, for each open parenthesis, the prefixes (`NOT`, `+`, `-`, `field:`) whose operand has not ended.
    """
    pending = [0]
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        kind = token.type
        if kind in _PREFIXES or (following is not None and following.type == "COLUMN"):
            pending[-1] += 1
        elif kind == "LPAREN":
            pending.append(0)
        elif kind == "RPAREN":
            pending.pop()
            if not pending:
                raise InvalidQuery(f"The parenthesis at position {token.lexpos} closes nothing")
            pending[-1] = 0
        elif kind != "COLUMN":
            pending[-1] = 0
        if sum(pending) + len(pending) - 1 > MAX_DEPTH:
            raise InvalidQuery(f"The query is nested deeper than {MAX_DEPTH} levels")
    if len(pending) > 1:
        raise InvalidQuery("A parenthesis is not closed")


_PREFIXES = frozenset({"NOT", "PLUS", "MINUS"})


def _unreadable(query: str, error: Exception) -> str:
    position = int(str(error).rpartition(" ")[2])
    name = {'"': "quotation mark", "/": "slash of a regular expression"}.get(query[position])
    if name is not None:
        return f"The {name} at position {position} is not closed"
    return f"The character at position {position} cannot stand there"


def _where(query: str, error: str) -> str:
    place = error.rpartition(" at ")[2].rstrip("!")
    if place == "the end":
        return "The query ends too early: a value, an operand or a bracket is missing"
    return f"Syntax error at {place}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
