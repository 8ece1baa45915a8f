# Registers ConTNet and the hooks, and lets torch read the checkpoints that mmengine writes.
custom_imports = dict(imports=['mmcontnet'], allow_failed_imports=False)

custom_hooks = [
    dict(type='ExactResumeHook'),  # killed and resumed, training ends in the same weights
    dict(type='FiniteHook'),  # NaN or infinity stops it
]
