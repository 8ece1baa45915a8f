"""Running training and evaluation: hooks, the toolboxes' entry points, distributed and compiled training."""
