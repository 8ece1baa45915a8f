"""The test pipeline of a config as what ``mmcontnet.deploy`` does to a picture."""

from typing import Any, Dict

from mmengine.config import Config

from .support import check_option


def read_pipeline(cfg: Config) -> Dict[str, Any]:
    """Describes how a test pipeline resizes pictures, see :func:`mmcontnet.deploy.pictures.prepare`.

    Raises:
        ValueError: A transform, or the order of two, cannot be exported; the message names it.
    """
    if not cfg.get('test_dataloader'):
        raise ValueError('test_dataloader is missing; its pipeline says how pictures are resized')
    found: Dict[str, Any] = dict(resize=None, backend='cv2', crop=None)
    for transform in cfg.test_dataloader.dataset.pipeline:
        options = {key: value for key, value in transform.items() if key != '_scope_'}
        name = str(options.pop('type')).rpartition('.')[2]
        if name == 'LoadImageFromFile':
            for option, default in (('color_type', 'color'), ('imdecode_backend', 'cv2')):
                check_option(options.get(option, default), default, f'{option} of {name} in the test pipeline')
        if name in ('Resize', 'ResizeEdge', 'CenterCrop') and (
            found['crop'] or (found['resize'] and name != 'CenterCrop')
        ):
            raise ValueError(
                f'{name} in the test pipeline follows another transform of the size, which cannot be exported; '
                'expected Resize or ResizeEdge once, and CenterCrop after it'
            )
        if name in ('Resize', 'ResizeEdge'):
            check_option(
                options.pop('interpolation', 'bilinear'), 'bilinear', f'interpolation of {name} in the test pipeline'
            )
            found['backend'] = options.pop('backend', 'cv2')
            if found['backend'] not in ('cv2', 'pillow'):
                raise ValueError(
                    f'backend of {name} in the test pipeline is {found["backend"]!r}, which cannot be exported'
                )
        if name == 'Resize':
            keep_ratio, scale = options.pop('keep_ratio', False), options.pop('scale', ())
            scale = [scale, scale] if isinstance(scale, int) else list(scale)
            found['resize'] = dict(scale=scale) if keep_ratio else dict(size=scale)
            check_option(len(scale), 2, 'the number of edges in scale of Resize in the test pipeline')
            check_option(options, {}, 'options of Resize in the test pipeline')
        elif name == 'ResizeEdge':
            found['resize'] = dict(edge=options.get('edge', 'short'), length=options['scale'])
        elif name == 'CenterCrop':
            size = options.pop('crop_size')
            found['crop'] = [size, size] if isinstance(size, int) else list(size)
            check_option(options, {}, 'options of CenterCrop in the test pipeline')
        elif not name.startswith(('Load', 'Pack')):
            raise ValueError(
                f'{name} of the test pipeline cannot be exported; expected Resize, ResizeEdge or CenterCrop'
            )
    return found
