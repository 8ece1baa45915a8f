"""What AOTInductor compiles, by a model that takes seconds to compile; ours take minutes."""

import json

import numpy as np
import pytest
import torch
from constant_models import DESCRIPTION
from torch import nn

from mmcontnet.export.check import CompiledPredictor
from mmcontnet.export.run import FILES, trace, write


class Brightness(nn.Module):
    """Tells pictures by their mean color."""

    outputs = ('scores',)

    def forward(self, images):
        return (images.float().mean((1, 2)).softmax(-1),)


@pytest.mark.slow
def test_compiled_model_takes_pictures_of_any_size(tmp_path):
    model = Brightness()
    write(trace(model, 1), model.outputs, tmp_path / FILES['compiled'])
    description = {**DESCRIPTION, 'task': 'classification', 'model': FILES['compiled']}
    description['pipeline'] = dict(resize=None, backend='cv2', crop=None)
    (tmp_path / 'model.json').write_text(json.dumps(description))
    predictor = CompiledPredictor(tmp_path)
    rng = np.random.default_rng(0)
    for size in ((190, 251), (64, 64), (33, 480)):
        picture = rng.integers(0, 256, (*size, 3), np.uint8)
        picture[..., 1] |= 128
        expected = model(torch.from_numpy(picture[None]))[0][0]
        found = predictor(picture)
        assert found.labels[0] == 1
        np.testing.assert_allclose(found.scores, expected[found.labels.tolist()], rtol=1e-4)


def test_model_that_cannot_be_compiled_is_named(tmp_path, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError('no compiler\nand more')

    monkeypatch.setattr(torch._inductor, 'aoti_compile_and_package', fail)
    with pytest.raises(ValueError, match='AOTInductor cannot compile the model: no compiler'):
        write(trace(Brightness(), 1), Brightness.outputs, tmp_path / FILES['compiled'])
