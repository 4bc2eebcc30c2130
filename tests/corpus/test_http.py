"""When a server may be asked again, as it says itself."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.corpus.http import asked_for


@pytest.mark.parametrize(("header", "seconds"), [("0", 0), ("120", 120), (" 7 ", 7), ("1" * 400, 1e400)])
def test_seconds_are_taken_as_they_are(header: str, seconds: float) -> None:
    assert asked_for(header) == seconds


def test_a_date_is_so_many_seconds_from_now() -> None:
    now = datetime.now(UTC)
    assert asked_for(format_datetime(now + timedelta(minutes=5), usegmt=True)) == pytest.approx(300, abs=5)
    assert asked_for(format_datetime(now - timedelta(minutes=5), usegmt=True)) == 0


@pytest.mark.parametrize("header", ["", "soon", "-5", "²", "1.5", "Fri, 31 Dec 9999 23:59:59 -1200", "Mon, 99 Foo"])
def test_what_is_neither_says_nothing(header: str) -> None:
    assert asked_for(header) is None


@given(st.text() | st.from_regex(r"\w{3}, \d{1,3} (Jan|Dec) \d{1,5} \d\d:\d\d:\d\d [+-]?\w{0,5}"))
def test_whatever_a_server_says_is_no_failure(header: str) -> None:
    found = asked_for(header)
    assert found is None or found >= 0
