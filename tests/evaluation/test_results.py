import json

import pytest

from mmcontnet.evaluation.results import append_result, measured, read_results, render_results


def test_measured_keeps_the_published_columns_in_percent():
    metrics = {'coco/bbox_mAP': 0.379, 'coco/bbox_mAP_50': 0.6, 'coco/bbox_mAP_s': -1.0, 'data_time': 0.1}
    assert measured('a.py', 'b.pth', metrics).metrics == {'coco/bbox_mAP': 37.9, 'coco/bbox_mAP_s': None}
    assert measured('a.py', 'b.pth', {'mIoU': float('nan')}).metrics == {'mIoU': None}
    assert measured('a.py', 'b.pth', {'accuracy/top1': 71.5}).metrics == {'accuracy/top1': 71.5}


def test_rows_stand_beside_the_published_ones(tmp_path):
    file = tmp_path / 'rows.jsonl'
    columns = ('coco/bbox_mAP', 'coco/bbox_mAP_s', 'coco/bbox_mAP_m', 'coco/bbox_mAP_l')
    for config, ap in (('retinanet_contm_coco', 0.382), ('retinanet_r50_coco', 0.361), ('mine', 0.5)):
        metrics = dict(zip(columns, (ap, -1.0, 0.4, 0.5)))
        append_result(file, measured(f'configs/{config}.py', 'work/epoch_12.pth', metrics))
    append_result(file, measured('configs/pspnet_contm_cityscapes.py', 'iter.pth', {'mIoU': 78.0}))
    instances, segments = render_results(read_results(file)).split('\n\n')
    assert [line.strip('| ').split(' | ') for line in instances.splitlines()] == [
        ['config', 'result', 'box AP', 'box APs', 'box APm', 'box APl'],
        ['---'] * 6,
        ['retinanet_contm_coco', 'measured, epoch_12.pth', '38.2', '', '40.0', '50.0'],
        ['retinanet_contm_pretrained_coco (RetinaNet ConT-M)', 'published', '37.9', '23.0', '40.6', '50.4'],
        ['retinanet_r50_coco (RetinaNet ResNet-50)', 'published', '36.5', '20.4', '40.3', '48.1'],
        ['retinanet_r50_coco', 'measured, epoch_12.pth', '36.1', '', '40.0', '50.0'],
        ['mine', 'measured, epoch_12.pth', '50.0', '', '40.0', '50.0'],
    ]
    assert '| pspnet_contm_pretrained_cityscapes (PSPNet ConT-M) | published | 78.28 |' in segments


def row(**changes):
    return json.dumps({**dict(config='a.py', checkpoint='b.pth', metrics={'mIoU': 1.0}), **changes})


@pytest.mark.parametrize(
    'metrics, header, cells',
    [
        ({'coco/bbox_mAP': 0.0}, ['box AP'], ['0.0']),
        ({'coco/segm_mAP': 0.347, 'coco/segm_mAP_s': 0.183}, ['mask AP', 'mask APs'], ['34.7', '18.3']),
        ({'mIoU': 77.125}, ['mIoU'], ['77.12']),
        ({'mIoU': float('nan')}, ['mIoU'], ['']),
        ({'accuracy/top1': 71.5, 'accuracy/top5': 90.0}, ['top-1', 'top-5'], ['71.5', '90.0']),
    ],
)
def test_columns_and_digits(metrics, header, cells):
    lines = render_results([measured('mine.py', 'b.pth', metrics)]).splitlines()
    assert [cell.strip() for cell in lines[0].split('|')[3:-1]] == header
    assert [cell.strip() for cell in lines[2].split('|')[3:-1]] == cells


@pytest.mark.parametrize(
    'line, word',
    [
        (b'{', 'Expecting'),
        (b'[]', 'Result'),
        (b'', 'Expecting'),
        (b'\xff\xfe\x00', 'decode'),
        (b'[' * 100_000, 'recursion'),
        (row(config=3).encode(), 'not strings'),
        (row(metrics=[1]).encode(), 'metrics is no object'),
        (row(metrics={'AP': 1}).encode(), "no metric 'AP'"),
        (row(more=1).encode(), 'more'),
        (json.dumps(dict(config='a')).encode(), 'checkpoint'),
        *[(row(metrics={'mIoU': value}).encode(), 'expected a number') for value in ('1', True, -1, 101, 1e999)],
        (row(metrics={'mIoU': float('nan')}).encode(), 'mIoU is nan'),
    ],
)
def test_other_files_are_refused(line, word, tmp_path):
    file = tmp_path / 'rows.jsonl'
    append_result(file, measured('a.py', 'b.pth', {'mIoU': 1.0}))
    file.write_bytes(file.read_bytes() + line + b'\n')
    with pytest.raises(ValueError, match=r'rows\.jsonl, line 2: not a result') as error:
        read_results(file)
    assert word in str(error.value)


def test_empty_file_is_refused(tmp_path):
    (tmp_path / 'rows.jsonl').touch()
    with pytest.raises(ValueError, match=r'rows\.jsonl is empty'):
        read_results(tmp_path / 'rows.jsonl')


def test_row_is_added_to_a_file_without_a_final_line_break(tmp_path):
    file = tmp_path / 'rows.jsonl'
    file.write_text(row())
    append_result(file, measured('c.py', 'd.pth', {'mIoU': 2.0}))
    assert [result.config for result in read_results(file)] == ['a.py', 'c.py']


def test_names_do_not_break_the_table(tmp_path):
    text = render_results([measured('a|b.py', 'c|d.pth', {'mIoU': 2.0})])
    assert r'| a\|b | measured, c\|d.pth | 2.00 |' in text
    text = render_results([measured('a\x1b[2J.py', 'b\0\ud800', {'mIoU': 2.0})])
    assert r'| a\x1b[2J | measured, b\x00\ud800 | 2.00 |' in text
