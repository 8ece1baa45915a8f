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
        ['retinanet_contm_coco (RetinaNet ConT-M)', 'published', '37.9', '23.0', '40.6', '50.4'],
        ['retinanet_r50_coco (RetinaNet ResNet-50)', 'published', '36.5', '20.4', '40.3', '48.1'],
        ['retinanet_r50_coco', 'measured, epoch_12.pth', '36.1', '', '40.0', '50.0'],
        ['mine', 'measured, epoch_12.pth', '50.0', '', '40.0', '50.0'],
    ]
    assert '| pspnet_contm_cityscapes (PSPNet ConT-M) | published | 78.28 |' in segments


@pytest.mark.parametrize('line', ['{', '[]', json.dumps(dict(config='a'))])
def test_other_files_are_refused(line, tmp_path):
    file = tmp_path / 'rows.jsonl'
    append_result(file, measured('a.py', 'b.pth', {'mIoU': 1.0}))
    with file.open('a') as lines:
        lines.write(line)
    with pytest.raises(ValueError, match=r'rows\.jsonl, line 2: not a result'):
        read_results(file)
