import pytest
import torch
from conftest import ROOT
from mmengine.analysis import get_model_complexity_info
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmcontnet.evaluation.cost import BACKBONES, bind, build, count_macs, count_parameters, on_meta, tensors

DETECTOR = str(ROOT / 'configs/mask_rcnn_contm_cityscapes.py')


@pytest.mark.parametrize('name', ['conts', 'swin_t', DETECTOR])
@pytest.mark.slow
def test_counts_on_the_meta_device_are_those_of_a_real_run(name):
    model = build(name)
    images = torch.rand(1, 3, 50, 90)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # The CPU's own attention is not counted by torch.
        macs = count_macs(bind(on_meta(model), images.to('meta')))
        assert count_macs(bind(model, images)) == macs
    assert 0 < macs.attention < macs.total


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
@pytest.mark.slow
def test_mmengine_counts_as_much():
    model = build('conts')
    images = torch.empty(1, 3, 100, 150, device='meta')
    macs = count_macs(bind(on_meta(model), images))
    counted = get_model_complexity_info(model, (3, 100, 150), show_table=False, show_arch=False)
    assert counted['flops'] == pytest.approx(macs.total - macs.attention, rel=0.01)


def test_second_stage_sees_a_thousand_proposals():
    outputs = list(tensors(bind(on_meta(build(DETECTOR)), torch.empty(2, 3, 64, 64, device='meta'))()))
    assert [tuple(output.shape) for output in outputs[-3:]] == [(2000, 9), (2000, 32), (100, 8, 28, 28)]


@pytest.mark.slow
def test_every_name_builds():
    assert all(count_parameters(build(name)) > 1e6 for name in BACKBONES)
    assert build('conts+cp').stages[0][0].with_cp and not build('conts').stages[0][0].with_cp


@pytest.mark.parametrize('name', ['contx', 'conts+', 'conts+checkpoint', 'missing.py'])
def test_unknown_names_are_refused(name):
    with pytest.raises(ValueError, match=f'there is no model {name!r}'.replace('+', r'\+')):
        build(name)
