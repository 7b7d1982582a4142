#!/usr/bin/env bash
# One node, one copy of the model per GPU: data parallel.
#
#   GPUS=8 scripts/launch/one_node.sh oasis --input images/ --output out/oasis
set -euo pipefail

export NPROC_PER_NODE=${GPUS:-8}
exec mminf run "$@"
