#!/usr/bin/env bash
# All that a GPU can tell in one command, under nine minutes: builds the extension for the card at hand, runs the tests
# that need it and every GPU benchmark; each step has its own time limit, and a failing one stops no other. Into $OUT
# (else bench/gpu/out) go summary.md, results.json and log.txt, written anew after each step.
#
#   bench/gpu/run.sh                      on a machine with a GPU, nvcc and torch; installs the package into its python3
#   bench/gpu/run.sh --dry-run            the same steps in small on the CPU, with the package as it is installed
#   bench/gpu/run.sh --wheels NAME...     collects wheels that such a machine lacks into bench/gpu/wheels (ignored by
#                                         git), for Python 3.12 on x86-64; take that folder along: the first form
#                                         installs from it. NAME may hold a version: pybind11==3.0.1
#
# What is missing is named before anything runs. PYTHON names another interpreter than python3.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
wheels=bench/gpu/wheels

if [ "${1-}" = --wheels ]; then
  shift
  platforms=()
  for number in 39 35 34 31 28 27 24 17; do platforms+=(--platform "manylinux_2_${number}_x86_64"); done
  exec "$python" -m pip download --no-deps --only-binary=:all: --implementation cp --python-version 3.12 \
    "${platforms[@]}" --platform manylinux2014_x86_64 --platform manylinux1_x86_64 --dest "$wheels" "$@"
fi

if compgen -G "$wheels/*.whl" >/dev/null && [ "${1-}" != --dry-run ]; then
  site=$(mktemp -d)
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$wheels"/*.whl
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
exec "$python" -P bench/gpu/steps.py "$@"
