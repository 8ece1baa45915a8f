import argparse

import pytest

from mmcontnet.evaluation.tables import markdown_table, output_file


def test_markdown():
    assert markdown_table(['a', 'b'], [['1', '2']]) == '| a | b |\n| --- | --- |\n| 1 | 2 |'


def test_output_file_needs_a_folder(tmp_path):
    assert output_file(str(tmp_path / 'a.json')) == tmp_path / 'a.json'
    for path in (tmp_path, tmp_path / 'missing/a.json'):
        with pytest.raises(argparse.ArgumentTypeError, match='cannot be written'):
            output_file(str(path))
