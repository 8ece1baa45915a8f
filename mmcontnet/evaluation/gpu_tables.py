"""The report of ``tools/gpu_report.py`` in Markdown."""

from typing import Any, Dict, List, Optional, Tuple

from .tables import markdown_table


def render_report(report: Dict[str, Any]) -> str:
    """Tables of a report.

    Args:
        report (dict): What ``tools/gpu_report.py`` writes.
    """
    parts = [f'{report["device"]}, torch {report["torch"]}.', _equality(report['equality'])]
    parts += [
        f'Synchronizations with {position} positions: {waits["inference"]} in inference, {waits["training"]} in '
        f"training. A CUDA graph's maps against the network's: {waits['graph']}."
        for position, waits in report.get('synchronization', {}).items()
    ]
    parts += [_times(report['times']), _attention(report['attention'])]
    parts += [f'Failed: {failure}' for failure in report['failures']]
    return '\n\n'.join(parts)


def _equality(rows: List[Dict[str, Any]]) -> str:
    header = ('position', 'type', 'maps', 'gradients', 'within tolerance')
    cells = [
        [
            row['position'],
            row['dtype'],
            f'{row["maps"]:.0e}',
            f'{row["gradients"]:.0e}',
            'yes' if row['holds'] else 'no',
        ]
        for row in rows
    ]
    return markdown_table(header, cells)


def _times(rows: List[Dict[str, Any]]) -> str:
    """Milliseconds and the ratio to ResNet-50, a row for each setting; and what else is known of the eager runs."""
    models = list(dict.fromkeys(row['model'] for row in rows))
    settings: Dict[Tuple[str, ...], Dict[str, Dict[str, Any]]] = {}
    for row in rows:
        setting = row['step'], row['dtype'], row['execution'], 'x'.join(map(str, row['shape']))
        settings.setdefault(setting, {}).setdefault(row['model'], row)
    times = [
        [*setting, *(_cell(of_models.get(model), '{:.1f} ({ratio:.2f})') for model in models)]
        for setting, of_models in sorted(settings.items())
    ]
    details = [
        [row['model'], *setting, f'{row["launches"]}', f'{min(row["busy"], 1):.0%}', _memory(row)]
        for setting, of_models in sorted(settings.items())
        for row in of_models.values()
        if 'busy' in row
    ]
    header = ('step', 'type', 'execution', 'images')
    tables = [markdown_table((*header, *models), times)]
    if details:
        tables.append(markdown_table(('model', *header, 'launches', 'GPU busy', 'memory (MiB)'), details))
    return '\n\n'.join(tables)


def _memory(row: Dict[str, Any]) -> str:
    return f'{row["memory_mib"]:.0f}' if 'memory_mib' in row else ''


def _cell(row: Optional[Dict[str, Any]], form: str) -> str:
    return '' if row is None else form.format(1e3 * row['seconds'], **row)


def _attention(rows: List[Dict[str, Any]]) -> str:
    header = ('map', 'heads', 'patch size', 'inference / padded', 'forward and backward / padded')
    cells = [
        [
            'x'.join(map(str, row['shape'])),
            str(row['heads']),
            str(row['patch_size']),
            f'{row["inference"]["ratio"]:.2f}',
            f'{row["training"]["ratio"]:.2f}',
        ]
        for row in rows
    ]
    return markdown_table(header, cells)
