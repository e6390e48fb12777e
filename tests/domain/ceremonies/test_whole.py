"""A whole ceremony, step by step, and what it leaves behind."""

from freehold.domain.administrators import Administrator
from tests.support.ceremonies import Hall


async def test_a_ceremony_goes_from_draft_to_destroyed(hall: Hall, ada: Administrator, bob: Administrator) -> None:
    ceremony = await hall.draft(ada)
    seen = [ceremony.state]
    for step in (hall.submit, hall.possess, hall.authorize):
        ceremony = await step(ada, ceremony)
        seen.append(ceremony.state)
    ceremony = await hall.approve(bob, ceremony)
    seen.append(ceremony.state)
    ceremony = await hall.sign(ada, ceremony)
    seen.append(ceremony.state)
    ceremony = await hall.build(ceremony)
    seen.append(ceremony.state)
    ceremony = await hall.download(ada, ceremony)
    seen.append(ceremony.state)
    hall.clock.advance(seconds=7 * 86_400)
    await hall.reconcile()
    seen.append((await hall.get(ceremony)).state)
    ceremony = await hall.remove(ceremony)
    seen.append(ceremony.state)

    assert seen == [
        "draft", "requirements_pending", "requirements_pending", "requirements_pending", "requirements_pending",
        "preparing", "ready", "downloaded", "expired", "destroyed",
    ]  # fmt: skip
    assert await hall.actions(ceremony) == [
        "ceremony.draft", "ceremony.submit", "ceremony.review", "ceremony.pass_review", "ceremony.possess",
        "ceremony.authorize", "ceremony.approve", "ceremony.sign", "ceremony.complete", "ceremony.prepare",
        "ceremony.finish_build", "ceremony.download", "ceremony.expire", "ceremony.destroy",
    ]  # fmt: skip
    assert await hall.log_is_whole()


async def test_all_administrators_are_told(hall: Hall, ada: Administrator, bob: Administrator) -> None:
    await hall.at("downloaded", ada, bob)
    await hall.run_jobs()
    mails = await hall.store.all("select recipient, subject from mails order by id")

    for address in (ada.email, bob.email):
        subjects = [subject for recipient, subject in mails if recipient == address]
        assert sorted(subjects) == sorted(
            f"acme: an export of secrets {what}"
            for what in (
                "was requested", "was confirmed by administrators", "was signed by an executive",
                "is ready to be downloaded", "was downloaded",
            )
        )  # fmt: skip
