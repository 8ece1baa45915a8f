#!/usr/bin/env bash
# Evaluates on several processes of one or more nodes, a process for each GPU; without GPUs, on CPUs.
#   tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [OPTIONS of tools/test.py]
# On each of several nodes: NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 tools/dist_test.sh ...
set -euo pipefail
config=${1:?CONFIG is missing} checkpoint=${2:?CHECKPOINT is missing} processes=${3:?the number of PROCESSES is missing}
exec python -m mmcontnet.engine.launch "$processes" \
  "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher pytorch "${@:4}"
