"""The test pipeline of a config as what ``mmcontnet.deploy`` does to a picture."""

from typing import Any, Dict

from mmengine.config import Config

from .support import check_option


def read_pipeline(cfg: Config) -> Dict[str, Any]:
    """Describes how a test pipeline resizes pictures, see :func:`mmcontnet.deploy.pictures.prepare`.

    Raises:
        ValueError: A transform cannot be exported; the message names it.
    """
    found: Dict[str, Any] = dict(resize=None, backend='cv2', crop=None)
    for transform in cfg.test_dataloader.dataset.pipeline:
        options = {key: value for key, value in transform.items() if key != '_scope_'}
        name = str(options.pop('type')).rpartition('.')[2]
        if name in ('Resize', 'ResizeEdge'):
            check_option(
                options.pop('interpolation', 'bilinear'), 'bilinear', f'interpolation of {name} in the test pipeline'
            )
            found['backend'] = options.pop('backend', 'cv2')
        if name == 'Resize':
            keep_ratio, scale = options.pop('keep_ratio', False), list(options.pop('scale', ()))
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
