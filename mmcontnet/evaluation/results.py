"""Measured results beside the published ones, in tables."""

import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from ..fileio import whole_file
from .published import Row, load_tables
from .tables import markdown_table

# The columns of the published tables under the names that mmengine logs. COCO's metrics are fractions there.
COLUMNS = {
    f'coco/{kind}_mAP{size}': f'{name} AP{size[1:]}'
    for kind, name in (('bbox', 'box'), ('segm', 'mask'))
    for size in ('', '_s', '_m', '_l')
}
COLUMNS.update({'mIoU': 'mIoU', 'accuracy/top1': 'top-1', 'accuracy/top5': 'top-5'})
# As published.
DIGITS = {'mIoU': 2}


class Result(NamedTuple):
    """What was measured of a checkpoint: ``metrics`` in percent under mmengine's names; None where none exists."""

    config: str
    checkpoint: str
    metrics: Dict[str, Optional[float]]


def measured(config: str, checkpoint: str, metrics: Dict[str, float]) -> Result:
    """Keeps the published columns of what mmengine evaluated.

    Args:
        config (str): Path of the config.
        checkpoint (str): Path of the checkpoint.
        metrics (dict): Metrics as mmengine logs them.
    """
    kept = {}
    for name in COLUMNS:
        if name in metrics:
            value = float(metrics[name]) * (100 if name.startswith('coco/') else 1)
            # pycocotools has -1 where no object is of that size, mmseg NaN where no pixel is of any class.
            kept[name] = round(value, 2) if value >= 0 else None
    return Result(config, checkpoint, kept)


def append_result(file: Path, result: Result) -> None:
    """Adds a line of JSON to the file."""
    before = file.read_bytes() if file.exists() else b''
    line_break = b'' if before[-1:] in (b'', b'\n') else b'\n'
    with whole_file(file) as lines:
        lines.write(before + line_break + json.dumps(result._asdict()).encode() + b'\n')


def read_results(file: Path) -> List[Result]:
    """Reads what :func:`append_result` wrote.

    Raises:
        ValueError: A line is something else, or there is none.
    """
    results = []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        try:
            results.append(_parse(line.decode()))
        except (RecursionError, TypeError, ValueError) as error:
            raise ValueError(
                f'{file}, line {number}: not a result as tools/test.py --table writes it: {error}'
            ) from error
    if not results:
        raise ValueError(f'{file} is empty; tools/test.py --table adds results to it')
    return results


def _parse(line: str) -> Result:
    result = Result(**json.loads(line))
    if not (isinstance(result.config, str) and isinstance(result.checkpoint, str) and isinstance(result.metrics, dict)):
        raise ValueError('config and checkpoint are not strings, or metrics is no object')
    for name, value in result.metrics.items():
        if name not in COLUMNS:
            raise ValueError(f'there is no metric {name!r}')
        if not (value is None or (type(value) in (int, float) and 0 <= value <= 100)):
            raise ValueError(f'{name} is {value!r}; expected a number from 0 to 100, or null')
    return result


def render_results(results: List[Result]) -> str:
    """Tables of the results, each with the published rows of its config and of the baseline.

    Results of the same columns stand in one table, in the order of their measurement.
    """
    rows = [row for table in load_tables() for row in table.rows]
    published = {name: row for row in rows for name in (row.config, row.from_scratch) if name}
    groups: Dict[tuple, List[Result]] = {}
    for result in results:
        groups.setdefault(tuple(result.metrics), []).append(result)
    return '\n\n'.join(render_group(list(columns), group, published) for columns, group in groups.items())


def render_group(columns: List[str], results: List[Result], published: Dict[str, Row]) -> str:
    """One table of results that have the same columns."""

    def cells(metrics: Dict[str, Optional[float]]) -> List[str]:
        return ['' if metrics.get(name) is None else f'{metrics[name]:.{DIGITS.get(name, 1)}f}' for name in columns]

    rows, shown = [], set()
    for result in results:
        name = Path(result.config).stem
        rows.append([name, f'measured, {Path(result.checkpoint).name}', *cells(result.metrics)])
        row = published.get(name)
        for other in (row, published.get(row.baseline) if row else None):
            if other and other.config not in shown:
                shown.add(other.config)
                rows.append([f'{other.config} ({other.model})', 'published', *cells(other.metrics)])
    return markdown_table(['config', 'result', *(COLUMNS[name] for name in columns)], rows)
