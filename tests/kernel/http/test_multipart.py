"""Multipart forms are read as they arrive; files go to disk, and a broken form leaves nothing behind."""

from collections.abc import AsyncIterator, Sequence

import pytest

from freehold.kernel.errors import BadRequest, FreeholdError, PayloadTooLarge
from freehold.kernel.http.multipart import MAX_FIELD_BYTES, MAX_PARTS, SPOOL_BYTES, MultipartForm, read_multipart

FORM = (
    b"--b\r\n"
    b'Content-Disposition: form-data; name="connection_id"\r\n\r\n'
    b"con_1\r\n"
    b"--b\r\n"
    b'content-disposition: form-data; name="users"; filename="../../etc/passwd"\r\n'
    b"Content-Type: application/json\r\n\r\n"
    b'[{"email": "a@example.com"}]\r\n'
    b"--b--\r\n"
)


async def read(*pieces: bytes, content_type: str = "multipart/form-data; boundary=b") -> MultipartForm:
    async def arriving(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return await read_multipart(content_type, arriving(pieces))


def part(name: str, value: bytes) -> bytes:
    return b'--b\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
async def test_fields_and_files_are_found_however_the_form_arrives(size: int) -> None:
    form = await read(*(FORM[start : start + size] for start in range(0, len(FORM), size)))

    upload = form.files["users"]
    assert form.fields.single() == {"connection_id": "con_1"}
    assert upload.file.read() == b'[{"email": "a@example.com"}]'
    assert (upload.size, upload.content_type, upload.filename) == (28, "application/json", "../../etc/passwd")
    form.close()
    assert upload.file.closed


async def test_a_large_file_lies_on_disk_without_a_name() -> None:
    head, tail = FORM.split(b'[{"email": "a@example.com"}]')
    megabyte = b"x" * (1 << 20)

    form = await read(head, megabyte, megabyte, tail)

    upload = form.files["users"]
    assert upload.size == 2 << 20 > SPOOL_BYTES
    assert upload.file._rolled  # type: ignore[attr-defined]
    assert not isinstance(upload.file.name, str)
    form.close()


@pytest.mark.parametrize("end", range(1, len(FORM) - 2, 3))
async def test_a_form_cut_off_anywhere_is_refused(end: int) -> None:
    with pytest.raises(BadRequest):
        await read(FORM[:end])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not a form",
        b"--b\r\n\r\nno header\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: attachment; name="a"\r\n\r\nx\r\n--b--\r\n',
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--b--\r\n',
        part("a", b"\xff") + b"--b--\r\n",
        part("a", b"x\0y") + b"--b--\r\n",
        part("a", b"1").replace(b"\r\n\r\n", b"\r\n" + b"x: y\r\n" * 100 + b"\r\n") + b"--b--\r\n",
        b"".join(part(f"f{i}", b"") for i in range(MAX_PARTS + 1)) + b"--b--\r\n",
        FORM.replace(b"--b--\r\n", FORM),
    ],
)
async def test_a_malformed_form_is_refused(body: bytes) -> None:
    with pytest.raises(FreeholdError) as refused:
        await read(body)

    assert refused.value.status == 400


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 71],
)
async def test_a_form_without_a_proper_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(BadRequest):
        await read(FORM, content_type=content_type)


async def test_a_huge_text_field_is_refused() -> None:
    with pytest.raises(PayloadTooLarge):
        await read(part("a", b"x" * (MAX_FIELD_BYTES + 1)), b"--b--\r\n")


async def test_a_field_sent_twice_is_kept_twice_and_so_has_no_single_value() -> None:
    form = await read(part("a", b"1") + part("a", b"2") + b"--b--\r\n")

    assert form.fields.all("a") == ["1", "2"]
    with pytest.raises(BadRequest):
        form.fields.one("a")
