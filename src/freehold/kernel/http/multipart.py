"""multipart/form-data (RFC 7578), parsed as it arrives; files go to temporary files without a name."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from freehold.kernel.errors import BadRequest
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.refusals import UnsupportedMediaType, body_too_large

MAX_PARTS = 100
MAX_FIELD_BYTES = 512_000
SPOOL_BYTES = 1 << 20

_INVALID = "Invalid multipart payload format"


@dataclass(slots=True)
class Upload:
    """A file of a form. `file` stands at its start; `filename` is what the client said and names nothing here."""

    filename: str
    content_type: str
    file: SpooledTemporaryFile[bytes]
    size: int = 0


@dataclass(slots=True)
class MultipartForm:
    """The text fields of a form, and its files by field name."""

    fields: Parameters
    files: dict[str, Upload]

    def close(self) -> None:
        for upload in self.files.values():
            upload.file.close()


async def read_multipart(content_type: str, chunks: AsyncIterator[bytes]) -> MultipartForm:
    """Parse a form while it arrives.

    Raises BadRequest when it is malformed or cut off, PayloadTooLarge for a huge text field.
    """
    media_type, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if media_type != b"multipart/form-data":
        raise UnsupportedMediaType("Content-Type must be multipart/form-data")
    if not 1 <= len(boundary) <= 70:
        raise BadRequest(_INVALID)
    parts = _Parts()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.header_name,
                "on_header_value": parts.header_value,
                "on_header_end": parts.header_end,
                "on_headers_finished": parts.headers_finished,
                "on_part_data": parts.data,
                "on_part_end": parts.end,
                "on_end": parts.finish,
            },
        )
        async for chunk in chunks:
            parser.write(chunk)
        parser.finalize()
        if not parts.finished:
            raise BadRequest(_INVALID)
    except FormParserError:
        parts.close()
        raise BadRequest(_INVALID) from None
    except BaseException:
        parts.close()
        raise
    return MultipartForm(Parameters(parts.fields), parts.files)


@dataclass(slots=True)
class _Parts:
    """Collects what the parser reports."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    files: dict[str, Upload] = field(default_factory=dict)
    finished: bool = False
    _count: int = 0
    _name: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _field_name: str = ""
    _text: bytearray = field(default_factory=bytearray)
    _upload: Upload | None = None

    def begin(self) -> None:
        self._count += 1
        if self._count > MAX_PARTS:
            raise BadRequest("Too many parts in the form")
        self._headers = {}
        self._text = bytearray()
        self._upload = None

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def headers_finished(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition"))
        if disposition != b"form-data" or b"name" not in options:
            raise BadRequest(_INVALID)
        self._field_name = _decode(options[b"name"])
        if b"filename" in options:
            if self._field_name in self.files:
                raise BadRequest("Two files for one field of the form")
            content_type = self._headers.get(b"content-type", b"application/octet-stream")
            spooled = SpooledTemporaryFile[bytes](max_size=SPOOL_BYTES)
            self._upload = Upload(_decode(options[b"filename"]), content_type.decode("latin-1"), spooled)
            self.files[self._field_name] = self._upload

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._upload is not None:
            self._upload.file.write(data[start:end])
            self._upload.size += end - start
            return
        self._text += data[start:end]
        if len(self._text) > MAX_FIELD_BYTES:
            raise body_too_large(MAX_FIELD_BYTES)

    def end(self) -> None:
        if self._upload is not None:
            self._upload.file.seek(0)
        else:
            value = _decode(bytes(self._text))
            if "\0" in value or "\0" in self._field_name:
                raise BadRequest("The form contains a NUL character")
            self.fields.append((self._field_name, value))

    def finish(self) -> None:
        self.finished = True

    def close(self) -> None:
        for upload in self.files.values():
            upload.file.close()


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("The form is not valid UTF-8") from None
