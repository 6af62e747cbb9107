#!/bin/sh
# Writes the locked versions, for Python 3.11 and newer on every operating system. Run by `make lock`.
set -eu
cd "$(dirname "$0")/.."

compile() { # compile TARGET TITLE ARGUMENT...
  target=$1 title=$2
  shift 2
  printf '# %s\n# Written by `make lock` from the .in file of the same name; do not edit.\n' "$title" > "$target.new"
  "${UV:-uv}" pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
    --config-file requirements/uv.toml "$@" >> "$target.new"
  mv "$target.new" "$target"
}

compile requirements/dev.txt "Locked: the package's dependencies and the tools of tests and checks." \
  --generate-hashes --extra web pyproject.toml requirements/dev.in
compile requirements/torch.txt "Pinned: PyTorch and transformers, for the comparison tests. Without hashes: PyTorch's CPU build
# is another file on each kind of machine; install with \`make setup-torch\`, which never takes the CUDA build." \
  requirements/torch.in -c requirements/dev.txt
compile requirements/bench.txt "Locked: the peers of bench/." \
  --generate-hashes requirements/bench.in -c requirements/dev.txt -c requirements/torch.txt
