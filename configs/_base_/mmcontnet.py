# Registers ConTNet, and lets torch read the checkpoints that mmengine writes.
custom_imports = dict(imports=['mmcontnet'], allow_failed_imports=False)
