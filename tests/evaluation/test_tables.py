import pytest

from mmcontnet.evaluation.tables import markdown_table


@pytest.mark.parametrize(
    'cell, printed', [('1', '1'), ('a|b', r'a\|b'), ('two\nlines', 'two lines')], ids=['plain', 'bar', 'line break']
)
def test_markdown(cell, printed):
    assert markdown_table(['a', 'b'], [[cell, '2']]) == f'| a | b |\n| --- | --- |\n| {printed} | 2 |'
