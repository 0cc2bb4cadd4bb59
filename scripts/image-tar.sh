#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ROOT VERSION OUT: what lies in ROOT as an OCI image, as deploy/image/Containerfile makes it; OUT is a tar that podman, containerd
# and others load. Needs no container engine and no root.
set -eu
root=$1 version=$2 out=$3
command -v umoci >/dev/null || { echo "missing: umoci. Install what is needed with: sudo make deps" >&2; exit 1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
# The same tree gives the same image.
date=$(git log -1 --format=%cI 2>/dev/null || date -u +%Y-%m-%dT%H:%M:%SZ)
find "$root" -exec touch -h -d "$date" {} +
umoci init --layout "$dir/oci"
umoci new --image "$dir/oci:$version"
for top in "$root"/*; do
	umoci insert --rootless --image "$dir/oci:$version" --history.created "$date" "$top" "/$(basename "$top")"
done
umoci config --image "$dir/oci:$version" --created "$date" --history.created "$date" \
	--config.entrypoint /usr/bin/bpfastd --config.env PATH=/usr/bin \
	--config.label org.opencontainers.image.title=bpfast \
	--config.label "org.opencontainers.image.licenses=Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)" \
	--config.label "org.opencontainers.image.version=$version"
umoci gc --layout "$dir/oci"
# A name, for those who load it: podman reads the first, containerd and Docker the second.
sed -i 's|"org.opencontainers.image.ref.name":"[^"]*"|"org.opencontainers.image.ref.name":"bpfast:'"$version"'","io.containerd.image.name":"docker.io/library/bpfast:'"$version"'"|' \
	"$dir/oci/index.json"
tar -C "$dir/oci" --sort=name --owner=0 --group=0 --numeric-owner --mtime="$date" -cf "$out" .
