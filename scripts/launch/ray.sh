#!/usr/bin/env bash
# A running Ray cluster. Run this on one of its machines; from outside, use `ray job submit --` and the same command.
#
#   scripts/launch/ray.sh oasis --input s3://bucket/images --output s3://bucket/oasis
set -euo pipefail

exec mminf run "$@" --executor ray --address "${RAY_ADDRESS:-auto}"
