import re

from conftest import ROOT

from mmcontnet.evaluation.published import load_tables

ROWS = {row.config: row for table in load_tables() for row in table.rows}
BOXES, MASKS = ([f'coco/{kind}_mAP{size}' for size in ('', '_s', '_m', '_l')] for kind in ('bbox', 'segm'))
# What the README calls the metrics.
NAMES = {'box AP': 'coco/bbox_mAP', 'mask AP': 'coco/segm_mAP', 'mIoU': 'mIoU', 'top-1': 'accuracy/top1'}


def rows_of(page):
    """The cells of a page's tables."""
    lines = (ROOT / page).read_text().splitlines()
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines if line.startswith('|')]


def configs(text):
    return re.findall(r'configs/(\w+)\.py', text)


def test_rows_are_whole():
    assert len(ROWS) == 28
    for row in ROWS.values():
        assert row.metrics and all(0 < value < 100 for value in row.metrics.values())
        if row.baseline is not None:
            assert ROWS[row.baseline].metrics.keys() == row.metrics.keys()


def test_baselines_are_the_twins():
    """Of the same detector or recipe, with the ResNet that the paper compares with; for Ti it is DeiT."""
    twins = {'contti': None, 'conts': 'r18', 'contm': 'r50', 'contb': 'r101'}
    for config, row in ROWS.items():
        size = next((size for size in twins if size in config), None)
        if size is None:
            assert row.baseline is None
        elif size == 'contti':
            assert ROWS[row.baseline].model == 'DeiT-Ti'
        else:
            assert row.baseline == config.replace('_pretrained', '').replace(size, twins[size])


def test_rows_from_imagenet_weights_name_the_config_from_scratch():
    for config, row in ROWS.items():
        assert row.from_scratch == (config.replace('_pretrained', '') if '_pretrained' in config else None)
        for name in filter(None, (config, row.from_scratch)):
            assert '::' in name or (ROOT / f'configs/{name}.py').is_file()


def test_detectors_equal_the_page():
    seen = set()
    boxes = None
    for cells in rows_of('docs/results.md'):
        pair = configs(cells[0])
        if len(pair) != 2 and cells[0] != 'masks':
            continue
        boxes = pair or boxes
        for config, values in zip(boxes, (cells[1:5], cells[5:9])):
            metrics = ROWS[config].metrics
            assert [metrics[name] for name in (BOXES if pair else MASKS)] == list(map(float, values))
            seen.add(config)
    text = ' '.join((ROOT / 'docs/results.md').read_text().split())
    for value, config in re.findall(r'(\d\d\.\d\d) with \[\w+\]\(\.\./configs/(\w+)\.py\)', text):
        assert ROWS[config].metrics == {'mIoU': float(value)}
        seen.add(config)
    assert seen == {config for config in ROWS if '_coco' in config or '_cityscapes' in config}


def test_classifiers_equal_the_page():
    by_model = {}
    for row in ROWS.values():
        by_model.setdefault(row.model, []).append(row)
    table = [cells for cells in rows_of('docs/results.md') if cells[0] in by_model and len(cells) == 8]
    assert len(table) == 10
    for model, _, parameters, _, _, flops, *tops in table:
        rows = by_model[model]
        assert {row.parameters for row in rows} == {float(parameters)} and {row.flops for row in rows} == {float(flops)}
        published = {row.metrics['accuracy/top1'] for row in rows}
        assert {float(re.search(r'\d+\.\d', top)[0]) for top in tops if top} == published
        for top in tops:
            for config in configs(top):
                assert ROWS[config].metrics['accuracy/top1'] == float(re.match(r'\[(\S+)\]', top)[1])


def test_readme_shows_the_same():
    rows = [cells for cells in rows_of('README.md') if cells[1] in NAMES]
    assert len(rows) == 7
    for _, metric, *values in rows:
        for value in values:
            number, config = re.fullmatch(r'\[(\S+)\]\(configs/(\w+)\.py\)', value).groups()
            assert ROWS[config].metrics[NAMES[metric]] == float(number)
    costs = {cells[0]: cells[1:] for cells in rows_of('docs/results.md')}
    sizes = [cells for cells in rows_of('README.md') if cells[0].startswith('ConT-')]
    assert len(sizes) == 4 and all(cells[1:] == costs[cells[0]][:5] for cells in sizes)
