"""Warns where mmengine trains ConTNet without this package's hooks, as by ``mim train`` with a config of one's own."""

import logging
import re
from typing import List, Sequence

from mmengine.logging import MessageHub, print_log

# What training lacks without them.
CONSEQUENCES = {
    'ExactResumeHook': 'resuming is not exact, the final weights differ from those of an uninterrupted run',
    'FiniteHook': 'NaN or infinity does not stop training',
}


def find_missing(cfg_text: str) -> List[str]:
    """The hooks that the text of a config does not name."""
    return [hook for hook in CONSEQUENCES if not re.search(rf'\b{hook}\b', cfg_text)]


def line_to_add(missing: Sequence[str]) -> str:
    """The line of a config that adds hooks."""
    return f'custom_hooks = [{", ".join(f"dict(type={hook!r})" for hook in missing)}]'


def warn_in_run() -> None:
    """Logs what the run that is about to train lacks, and the line that adds it; outside of a run, does nothing.

    mmengine's runner puts the text of its config into the message hub just before it initializes the model, and the
    iteration where training begins.
    """
    hub = MessageHub.get_current_instance()
    cfg_text = hub.get_info('cfg')
    missing = find_missing(cfg_text) if cfg_text and hub.get_info('iter') is None else []
    if not missing:
        return
    resumes = re.search(r'^resume = True$', cfg_text, re.MULTILINE)
    print_log(
        f'{"This run resumes" if resumes else "ConTNet trains"} without {" and ".join(missing)}: '
        f'{"; ".join(CONSEQUENCES[hook] for hook in missing)}. Add to the config: {line_to_add(missing)}',
        logger='current',
        level=logging.WARNING,
    )
