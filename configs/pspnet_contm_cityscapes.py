_base_ = ['mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py', '_base_/contnet.py']

# Output stride 8.
model = dict(
    pretrained=None,
    backbone=dict(_delete_=True, type='ConTNet', arch='m', strides=(2, 1, 1, 1), dilations=(1, 1, 2, 4)),
    decode_head=dict(in_channels=1024),
    auxiliary_head=dict(in_channels=256),
)
