"""The index of models that ``mim search mmcontnet`` lists and ``mim download mmcontnet --config NAME`` takes."""

from typing import Any, Dict, List, Optional

import yaml

from ..base_configs import CONFIGS
from .published import Row, load_tables
from .results import COLUMNS

HEADER = """\
# Written by tools/write_model_index.py from mmcontnet/evaluation/published.json.
# The results are published ones. There are no weights to download: `mim download` takes '.' for its own folder, which
# exists, and copies the config only.
"""
COLLECTIONS = [
    dict(
        Name='ConTNet',
        Metadata=dict(Architecture=['ConTNet']),
        Paper=dict(
            URL='https://arxiv.org/abs/2104.13497',
            Title='ConTNet: Why not use convolution and transformer at the same time?',
        ),
        README='configs/README.md',
    ),
    dict(Name='ResNet', Metadata=dict(Architecture=['ResNet']), README='configs/README.md'),
]
# By the beginning of a metric's name, and by the end of a config's.
TASKS = {
    'coco/bbox': 'Object Detection',
    'coco/segm': 'Instance Segmentation',
    'mIoU': 'Semantic Segmentation',
    'accuracy': 'Image Classification',
}
DATASETS = {'coco': 'COCO', 'cityscapes': 'Cityscapes', 'imagenet': 'ImageNet-1k'}


def render_model_index() -> str:
    """The text of ``model-index.yml``: all configs, with the results of those that have a published row."""
    rows = {row.config: row for table in load_tables() for row in table.rows}
    names = sorted(path.stem for path in CONFIGS.glob('*.py'))
    index = dict(Collections=COLLECTIONS, Models=[_describe(name, rows.get(name)) for name in names])
    return HEADER + yaml.safe_dump(index, sort_keys=False, width=120)


def _describe(config: str, row: Optional[Row]) -> Dict[str, Any]:
    """A model of the index."""
    dataset = DATASETS[config.rpartition('_')[2]]
    metadata: Dict[str, Any] = {'Training Data': dataset}
    if row and row.parameters and row.flops:
        metadata.update(FLOPs=round(row.flops * 1e9), Parameters=round(row.parameters * 1e6))
    return {
        'Name': config,
        'In Collection': 'ConTNet' if 'cont' in config else 'ResNet',
        'Config': f'configs/{config}.py',
        'Metadata': metadata,
        'Results': _list_results(dataset, row.metrics) if row else [],
        'Weights': '.',
    }


def _list_results(dataset: str, metrics: Dict[str, float]) -> List[Dict[str, Any]]:
    by_task: Dict[str, Dict[str, float]] = {}
    for name, value in metrics.items():
        task = next(task for beginning, task in TASKS.items() if name.startswith(beginning))
        by_task.setdefault(task, {})[COLUMNS[name]] = value
    return [dict(Task=task, Dataset=dataset, Metrics=values) for task, values in by_task.items()]
