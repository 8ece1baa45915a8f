from types import SimpleNamespace

import pytest

from mmcontnet.progress import RateColumn, track_progress


def test_items_pass_with_a_bar(capsys):
    assert list(track_progress(iter('abc'), 'Letters', 3)) == ['a', 'b', 'c']
    shown = capsys.readouterr().err
    assert 'Letters' in shown and '100%' in shown


@pytest.mark.parametrize('rate, text', [(None, ''), (0.1, '10.0 s each'), (1, '1.0/s'), (12.34, '12.3/s')])
def test_rate(rate, text):
    assert RateColumn().render(SimpleNamespace(finished_speed=None, speed=rate)).plain == text
