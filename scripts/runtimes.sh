#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts Debian's Docker and podman for tests/e2e/test_discover.py into build/runtimes. Nothing is installed, for
# their packages start daemons that change a machine's firewall: they are unpacked there, with the libraries
# that a machine without them lacks.
set -eu
cd "$(dirname "$0")/.."
dir=$(pwd)/build/runtimes
packages="docker.io podman conmon crun netavark aardvark-dns libsubid4 libyajl2 libgpgme11 libassuan0 libdevmapper1.02.1"

mkdir -p build
exec 9> build/runtimes.lock
flock 9
[ ! -d "$dir" ] || exit 0
new=$dir.new
rm -rf "$new"
mkdir -p "$new/deb"
echo "runtimes: getting Docker and podman"
# Of a machine that has no lists yet.
apt-cache show docker.io > "$new/log" 2>&1 || apt-get -q update > "$new/log" 2>&1 || true
# shellcheck disable=SC2086
(cd "$new/deb" && apt-get -q -o APT::Sandbox::User="$(id -un)" download $packages > "$new/log" 2>&1) || {
	cat "$new/log" >&2
	echo "runtimes: cannot get $packages" >&2
	exit 1
}
for deb in "$new"/deb/*.deb; do
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$new" --wildcards './usr/bin/*' './usr/sbin/*' './usr/lib/podman/*' './usr/lib/*-linux-gnu/*' './lib/*-linux-gnu/*' 2> /dev/null || true
done
[ -x "$new/usr/sbin/dockerd" ] && [ -x "$new/usr/bin/podman" ] || {
	echo "runtimes: the packages are not what was expected" >&2
	exit 1
}
rm -rf "$new/deb" "$new/log"
mv "$new" "$dir" # whole or not at all
