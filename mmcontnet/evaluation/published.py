"""The published results that the configs are for. They stand in published.json, once, with their sources."""

import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional


class Row(NamedTuple):
    """A row of a published table.

    Args:
        model (str): What the table calls it.
        config (str): Config of the row: the name of one of this project's without ``.py``, or one of a toolbox as
            ``'mmpretrain::deit/deit-tiny_4xb256_in1k.py'``.
        baseline (str | None): Config of the row that the authors compare it with.
        metrics (dict): Published values in percent, under the names that mmengine logs.
        parameters (float | None): Published parameters in millions.
        flops (float | None): Published FLOPs in G; the paper counts a multiply-accumulate as one.
        from_scratch (str | None): The same config, but from random weights. Defaults to None.
    """

    model: str
    config: str
    baseline: Optional[str]
    metrics: Dict[str, float]
    parameters: Optional[float]
    flops: Optional[float]
    from_scratch: Optional[str] = None


class Table(NamedTuple):
    """A published table: its title, where it was published, and its rows."""

    title: str
    source: str
    rows: List[Row]


def load_tables() -> List[Table]:
    """All published tables, in the order of the paper."""
    content = json.loads(Path(__file__).with_name('published.json').read_text())
    return [Table(table['title'], table['source'], [Row(**row) for row in table['rows']]) for table in content]
