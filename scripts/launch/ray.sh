#!/usr/bin/env bash
# A Ray cluster that is running; on one of its machines. From outside, the same command goes behind `ray job submit --`.
#
#   scripts/launch/ray.sh oasis --input s3://bucket/images --output s3://bucket/oasis
set -euo pipefail

exec mminf run "$@" --executor ray --address "${RAY_ADDRESS:-auto}"
