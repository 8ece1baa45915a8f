"""The report of a comparison, in Markdown, with its pictures."""

import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import mmcv
import numpy as np
from matplotlib.figure import Figure

from ..evaluation.results import COLUMNS
from ..evaluation.tables import markdown_table
from ..fileio import whole_file
from .cost import Cost
from .intervals import CONFIDENCE, Interval, bootstrap_interval, paired_interval
from .runs import Run

PICTURES = 5
# The metrics of mmdet that are fractions; all others are percent.
FRACTIONS = ('coco/', 'pascal_voc/', 'lvis/', 'openimages/', 'cityscapes/', 'crowd_human/')
SCOPE = (
    'The interval over seeds is about training again with this recipe on this data, the interval over images about '
    'testing one training on other images of the same kind. Neither says anything about other recipes or data.'
)

PICTURE_NOTE = 'Predictions of seed 0. For detectors and segmentors, the left half of each picture is the ground truth.'


class Model(NamedTuple):
    """A model with all that was measured of it.

    Args:
        name (str): Name of its config.
        runs (list[Run]): Its trainings, by seed.
        results (list[dict]): Their results, of :meth:`~mmcontnet.comparison.runs.Run.read_results`.
        cost (Cost): What it costs.
    """

    name: str
    runs: List[Run]
    results: List[Dict[str, Any]]
    cost: Cost

    def values(self, metric: str) -> List[float]:
        """The metric of each training, in percent; without any detection mmdet measures nothing, which counts as 0."""
        return [_scale(metric) * (result['metrics'].get(metric) or 0.0) for result in self.results]

    def values_by(self, kind: str, metric: str) -> np.ndarray:
        """The metric of seed 0, in percent, on ``'resampled'`` images or ``'by_image'``; NaN where undefined.

        Empty where seed 0 is left out.
        """
        values = [entry.get(metric) for entry in self.results[0].get(kind, [])]
        return _scale(metric) * np.array([np.nan if value is None else value for value in values], float)

    @property
    def step(self) -> float:
        """The median time of a training step in seconds."""
        return float(np.median(self.cost.seconds))

    def curve(self, metric: str) -> Tuple[np.ndarray, np.ndarray]:
        """When the metric was measured during training, in mmengine's steps, and its values in percent, (seeds, N)."""
        logs = [_read_log(run, metric) for run in self.runs]
        steps = sorted(set.intersection(*(set(log) for log in logs)))
        return np.array(steps), _scale(metric) * np.array([[log[step] for step in steps] for log in logs])


def choose_metric(models: Sequence[Model]) -> str:
    """The metric that the comparison is about: the first of the published ones, or else the first that was measured.

    Raises:
        ValueError: None was measured.
    """
    measured = [name for model in models for result in model.results for name in result['metrics']]
    if not measured:
        raise ValueError('no test measured anything: no model detected a single object; train for longer')
    return next((name for name in COLUMNS if name in measured), measured[0])


def write_report(
    models: Sequence[Model],
    diverged: Sequence[str],
    pictures: Sequence[Sequence[Path]],
    indices: List[int],
    notes: Sequence[str],
    out: Path,
) -> str:
    """Writes ``report.md`` and its pictures, and returns the conclusion.

    Args:
        models (Sequence[Model]): What was compared, the first with each other.
        diverged (Sequence[str]): Which trainings are left out, of
            :func:`~mmcontnet.comparison.runs.leave_out_diverged`.
        pictures (Sequence[Sequence[Path]]): Predictions of the first two on the images on which they differ most.
        indices (list[int]): Which images these are.
        notes (Sequence[str]): What else the reader must know, such as how the configs differ.
        out (Path): Folder to write to.
    """
    metric = choose_metric(models)
    first, *others = models
    conclusions = [conclude(first, other, metric) for other in others]
    reached = [line for other in others for line in (reach(first, other, metric), reach(other, first, metric)) if line]
    parts = [
        f'# {" and ".join(model.name for model in models)}',
        *diverged,
        *conclusions,
        SCOPE,
        *notes,
        f'## {COLUMNS.get(metric, metric)}',
        table_of_seeds(models, metric),
        '## All metrics, means over the seeds',
        table_of_metrics(first, others),
        '## Cost',
        table_of_costs(models),
        f'Training steps of {first.cost.images} images, without the optimizer, on {first.cost.device}; the models took '
        f'turns. Ratios are to {first.name}.',
        '## Training',
        *reached,
        '![Training loss and validation metric](curves.png)',
    ]
    draw_curves(models, metric, out / 'curves.png')
    if indices:
        draw_pictures(models[:2], pictures, indices, metric, out / 'pictures.png')
        title = f'## Where {first.name} and {others[0].name} differ most'
        parts += [title, PICTURE_NOTE, '![Predictions](pictures.png)']
    _write(parts, out)
    return '\n'.join([*diverged, *conclusions])


def write_nothing_left(names: Sequence[str], diverged: Sequence[str], notes: Sequence[str], out: Path) -> str:
    """Writes ``report.md`` where too many trainings diverged for a comparison, and returns the conclusion."""
    conclusions = [*diverged, 'There is nothing to compare: no seed is left with which two models were trained well.']
    _write([f'# {" and ".join(names)}', *conclusions, *notes], out)
    return '\n'.join(conclusions)


def _write(parts: Sequence[str], out: Path) -> None:
    with whole_file(out / 'report.md') as file:
        file.write(('\n\n'.join(parts) + '\n').encode())


def conclude(first: Model, other: Model, metric: str) -> str:
    """One sentence on what the seeds and the images tell of a difference."""
    seeds, images = len(first.runs), first.results[0]['images']
    interval = paired_interval(first.values(metric), other.values(metric))
    ahead, behind = (first, other) if interval.mean >= 0 else (other, first)
    lead = interval if ahead is first else _swap(interval)
    setting = f'{seeds} seed{"s" if seeds > 1 else ""}, {images} images'
    by = f'{ahead.name} is ahead of {behind.name} by {lead.mean:.1f} {COLUMNS.get(metric, metric)}'
    if lead.low is None and seeds == 1:
        text = f'{by} ({setting}), but one seed does not tell whether it would be with another'
    elif lead.low is None:
        text = f'{by} with each seed ({setting}): equal differences give no interval, more seeds may'
    elif lead.tells:
        text = f'{by}, {CONFIDENCE:.0%} interval {lead.low:.1f} to {lead.high:.1f} ({setting})'
    else:
        text = (
            f'These trainings do not tell which is better: {by}, but the {CONFIDENCE:.0%} interval, {lead.low:.1f} to '
            f'{lead.high:.1f}, includes 0 ({setting})'
        )
    if not have_same_images(first, other):
        return f'{text}; nothing is compared image by image, since they were tested on different images.'
    spread = over_images(ahead, behind, metric)
    return f'{text}; for seed 0 it is {_format(spread)} over images.' if spread else f'{text}.'


def have_same_images(first: Model, other: Model) -> bool:
    """Whether seed 0 was tested on the same files, in the same order."""
    paths, other_paths = (model.results[0].get('paths') for model in (first, other))
    return paths == other_paths and first.results[0]['images'] == other.results[0]['images']


def over_images(first: Model, other: Model, metric: str) -> Optional[Interval]:
    """The difference of seed 0's results, with its interval over images, if it is known; for the same images."""
    resampled = first.values_by('resampled', metric) - other.values_by('resampled', metric)
    if not np.isfinite(resampled).any():
        return None
    return bootstrap_interval(first.values(metric)[0] - other.values(metric)[0], resampled)


def table_of_seeds(models: Sequence[Model], metric: str) -> str:
    """A row for each model."""
    header = ['', *(f'seed {run.seed}' for run in models[0].runs), 'mean']
    rows = [(model, model.values(metric)) for model in models]
    return markdown_table(header, [[model.name, *_cells(values), *_cells([np.mean(values)])] for model, values in rows])


def table_of_metrics(first: Model, others: Sequence[Model]) -> str:
    """All metrics that were measured, with the differences from the first model."""
    models = [first, *others]
    names = list(dict.fromkeys(name for model in models for result in model.results for name in result['metrics']))
    rows = []
    for name in names:
        if any(value < 0 for model in models for value in model.values(name)):  # COCO has -1 without objects of a size.
            continue
        differences = [_format(paired_interval(first.values(name), other.values(name))) for other in others]
        rows.append([name, *_cells(np.mean(model.values(name)) for model in models), *differences])
    header = ['', *(model.name for model in models), *(f'{first.name} - {other.name}' for other in others)]
    return markdown_table(header, rows)


def table_of_costs(models: Sequence[Model]) -> str:
    """What the models cost; time and memory also relative to the first."""
    first = models[0]
    rows = []
    for model in models:
        cost = model.cost
        ratio = np.median(np.divide(cost.seconds, first.cost.seconds))
        rows.append(
            [
                model.name,
                f'{cost.parameters / 1e6:.2f}',
                '-' if cost.macs is None else f'{cost.macs / 1e9:.2f}',
                f'{1e3 * model.step:.0f} ({ratio:.2f})',
                f'{cost.memory / 2**20:.0f} ({cost.memory / first.cost.memory:.2f})',
            ]
        )
    height, width = first.cost.size
    header = ['', 'parameters (M)', f'GMACs, {width}x{height}', 'ms a step (ratio)', 'MiB a step (ratio)']
    return markdown_table(header, rows)


def reach(model: Model, other: Model, metric: str) -> str:
    """When a model reaches the final metric of another, both means over the seeds; empty without validation.

    Also where one training counts epochs and the other iterations.
    """
    (steps, curves), (other_steps, other_curves) = model.curve(metric), other.curve(metric)
    by_epoch, other_by_epoch = (one.runs[0].epochs is not None for one in (model, other))
    if not len(steps) or not len(other_steps) or by_epoch != other_by_epoch:
        return ''
    final = other_curves.mean(0)[-1]
    reached = np.flatnonzero(curves.mean(0) >= final)
    if not len(reached):
        return f'{model.name} does not reach the final {final:.1f} of {other.name}.'
    share = steps[reached[0]] / other_steps[-1]
    ratio = model.step / other.step
    if by_epoch:  # A larger batch makes fewer steps of an epoch.
        ratio *= other.cost.images / model.cost.images
    return (
        f'{model.name} reaches the final {final:.1f} of {other.name} after {share:.0%} of the '
        f'{"epochs" if by_epoch else "steps"} and {share * ratio:.0%} of the time of that training.'
    )


def find_differing(first: Model, other: Model, metric: str) -> List[int]:
    """The images whose metric differs most between two models, of seed 0; none where they were tested on others."""
    if not have_same_images(first, other):
        return []
    differences = np.abs(np.subtract(*(model.values_by('by_image', metric) for model in (first, other))))
    order = np.argsort(-np.nan_to_num(differences), kind='stable')
    return [int(index) for index in order[:PICTURES] if differences[index] > 0]


def draw_curves(models: Sequence[Model], metric: str, path: Path) -> None:
    """Draws loss and metric during training, thin for each seed, thick for their mean."""
    figure = Figure(figsize=(11, 4), layout='constrained')
    for axes, name in zip(figure.subplots(1, 2), ('loss', metric)):
        for number, model in enumerate(models):
            steps, curves = model.curve(name)
            if len(steps):
                axes.plot(steps, curves.T, f'C{number}', alpha=0.3, linewidth=1)
                axes.plot(steps, curves.mean(0), f'C{number}', label=model.name)
        by_iteration = name == 'loss' or models[0].runs[0].epochs is None
        axes.set(xlabel='iteration' if by_iteration else 'epoch', ylabel=COLUMNS.get(name, name))
        axes.legend()
    _save(figure, path)


def draw_pictures(
    models: Sequence[Model], pictures: Sequence[Sequence[Path]], indices: List[int], metric: str, path: Path
) -> None:
    """Draws a row for each image, with a column for each model."""
    figure = Figure(figsize=(8 * len(models), 3.5 * len(indices)), layout='constrained')
    panels = figure.subplots(len(indices), len(models), squeeze=False)
    for column, model, files in zip(panels.T, models, pictures):
        values = model.values_by('by_image', metric)[indices]
        for axes, file, value in zip(column, files, values):
            axes.imshow(mmcv.imread(str(file), channel_order='rgb'))
            axes.set_title(f'{model.name}: {value:.1f} {COLUMNS.get(metric, metric)}')
            axes.axis('off')
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with whole_file(path) as file:
        figure.savefig(file, format='png', dpi=100)


def _read_log(run: Run, name: str) -> Dict[int, float]:
    """A value that mmengine logged during training, by step; what a killed training did twice is there once."""
    values = {}
    for path in sorted(run.folder.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # Cut short by a kill.
                continue
            if name in row:
                values[row['step']] = row[name]
    return values


def _scale(metric: str) -> float:
    """What makes percent of a metric."""
    return 100.0 if metric.startswith(FRACTIONS) else 1.0


def _swap(interval: Interval) -> Interval:
    """The interval of the opposite difference."""
    mean, low, high = interval
    return Interval(-mean) if low is None else Interval(-mean, -high, -low)


def _format(interval: Interval) -> str:
    bounds = '' if interval.low is None else f' ({interval.low:+.1f} to {interval.high:+.1f})'
    return f'{interval.mean:+.1f}{bounds}'


def _cells(values: Iterable[float]) -> List[str]:
    return [f'{value:.1f}' for value in values]
