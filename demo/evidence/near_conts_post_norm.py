_base_ = 'near_conts.py'

model = dict(backbone=dict(pre_norm=False))
