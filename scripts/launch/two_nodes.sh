#!/usr/bin/env bash
# Several nodes: run this on each node, with its NODE_RANK. The output is on a file system or in a store that all can access.
#
#   node 0:  NODE_RANK=0 MASTER_ADDR=node0 scripts/launch/two_nodes.sh oasis --input /shared/images --output /shared/oasis
#   node 1:  NODE_RANK=1 MASTER_ADDR=node0 scripts/launch/two_nodes.sh oasis --input /shared/images --output /shared/oasis
set -euo pipefail

export NNODES=${NNODES:-2} NODE_RANK=${NODE_RANK:?which node this is, from 0} MASTER_ADDR=${MASTER_ADDR:?the address of node 0}
export MASTER_PORT=${MASTER_PORT:-29500} NPROC_PER_NODE=${GPUS:-8}
exec mminf run "$@"
