# The published fine-tuning: ImageNet weights, stem and first stage frozen, batch norms in evaluation mode.
fine_tuning = dict(
    init_cfg=dict(type='Pretrained', checkpoint='checkpoints/contm.pth', prefix='backbone.'),
    frozen_stages=1,
    norm_eval=True,
)
