import signal

import pytest

from ganpipe.training.signals import Signals

BOTH = (signal.SIGTERM, signal.SIGINT)


@pytest.mark.parametrize("first", BOTH)
def test_the_first_is_noted_a_second_ctrl_c_ends_and_the_handlers_come_back(first: signal.Signals) -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with pytest.raises(KeyboardInterrupt), Signals() as signals:
        assert not signals.caught
        signal.raise_signal(first)
        assert signals.caught
        signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in BOTH] == before


@pytest.mark.parametrize("first", BOTH)
def test_sigterm_told_twice_still_lets_the_step_end(first: signal.Signals) -> None:
    with Signals() as signals:
        signal.raise_signal(first)
        signal.raise_signal(signal.SIGTERM)
        assert signals.caught
