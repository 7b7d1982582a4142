#!/usr/bin/env bash
# Servers of ms-swift, one per GPU, and a run over all of them. The model is loaded once, for all recipes that use the servers.
#
#   MODEL=Qwen/Qwen2-VL-7B-Instruct GPUS=8 scripts/launch/swift_deploy.sh oasis --input images/ --output out/oasis
set -euo pipefail

MODEL=${MODEL:?the model to deploy} FIRST_PORT=${FIRST_PORT:-8000} GPUS=${GPUS:-1}
addresses=()
trap 'kill $(jobs -p) 2> /dev/null || true; wait || true' EXIT
for ((gpu = 0; gpu < GPUS; gpu++)); do
    port=$((FIRST_PORT + gpu))
    # shellcheck disable=SC2086  # SERVER_OPTIONS are several words
    CUDA_VISIBLE_DEVICES=$gpu swift deploy --model "$MODEL" --infer_backend "${INFER_BACKEND:-vllm}" --port "$port" \
        --served_model_name served --external_plugins "$(python -m mminf.server)" ${SERVER_OPTIONS:-} &
    addresses+=("http://127.0.0.1:$port/v1")
done
for address in "${addresses[@]}"; do
    until python -c "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])" "$address/models" 2> /dev/null; do
        kill -0 $(jobs -p) || { echo "a server has ended; its messages are above" >&2; exit 1; }
        sleep 2
    done
done
urls=$(IFS=,; echo "${addresses[*]}")
mminf run "$@" --set "engines.${ENGINE:-vlm}={backend: openai, model: served, base_url: [$urls]}"
