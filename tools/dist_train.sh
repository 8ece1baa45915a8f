#!/usr/bin/env bash
# Trains on several processes of one or more nodes, a process for each GPU; without GPUs, on CPUs.
#   tools/dist_train.sh CONFIG PROCESSES [OPTIONS of tools/train.py]
# On each of several nodes: NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 tools/dist_train.sh ...
set -euo pipefail
config=${1:?CONFIG is missing} processes=${2:?the number of PROCESSES is missing}
exec python -m mmcontnet.engine.launch "$processes" "$(dirname "$0")/train.py" "$config" --launcher pytorch "${@:3}"
