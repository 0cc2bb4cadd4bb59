#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts Debian's kernels for tests/kernels into build/kernels/VERSION: vmlinuz and lib/modules. Nothing is
# installed: the packages are unpacked there. They come from the Debian mirror that this machine uses.
# The generic kernels, not those for clouds: the guest's root comes over 9p.
set -eu
cd "$(dirname "$0")/.."
dir=$(pwd)/build/kernels

fail() {
	echo "kernels: $*" >&2
	exit 1
}

# The mirror, out of the sources that apt has.
mirror() {
	apt-get indextargets --format '$(CREATED_BY) $(LABEL) $(REPO_URI)' | sed -n 's/^Packages Debian //p' | head -n 1
}

apt() {
	command=$1
	shift
	"$command" -q -o Dir::Etc::SourceList="$dir/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$dir/apt/lists" -o Dir::Cache="$dir/apt/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}

# apt's own directories, so that neither the machine's lists nor its pins change.
prepare() {
	uri=$(mirror)
	[ -n "$uri" ] || { apt-get update -q >&2 && uri=$(mirror); } # lists that nobody has fetched yet
	[ -n "$uri" ] || fail "apt has no source of Debian packages on this machine"
	rm -rf "$dir/apt"
	mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial"
	for suite in bookworm bookworm-backports; do
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main"
	done > "$dir/apt/sources.list"
	apt apt-get update > "$dir/apt/log" 2>&1 || { cat "$dir/apt/log" >&2; fail "cannot read the mirror's lists"; }
}

# What boots, and what the tests load; all modules would be half a gigabyte.
unpack() {
	dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards './boot/vmlinuz-*' '*/modules.builtin*' \
		'*/modules.order' '*/kernel/net/*' '*/kernel/fs/9p/*' '*/kernel/fs/netfs/*' '*/kernel/fs/fscache/*' \
		'*/kernel/fs/overlayfs/*' '*/kernel/drivers/net/veth*' '*/kernel/drivers/virtio/*' \
		'*/kernel/lib/*' '*/kernel/crypto/*' 2> "$2/tar.log" || true
	[ -e "$2"/boot/vmlinuz-* ] || { cat "$2/tar.log" >&2; fail "no kernel in $1"; }
}

# get VERSION SUITE
get() {
	[ ! -e "$dir/$1/vmlinuz" ] || return 0
	[ -e "$dir/apt/sources.list" ] || prepare
	package=$(apt apt-cache -t "$2" depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-\)/\1/p' | head -n 1)
	case $package in
	linux-image-"$1".*) ;;
	*) fail "$2 has no kernel $1 (but ${package:-none})" ;;
	esac
	echo "kernels: $1 is $package"
	new=$dir/$1.new
	rm -rf "$new" "${dir:?}/$1"
	mkdir -p "$new"
	(cd "$new" && apt apt-get download "$package" > apt.log 2>&1) || { cat "$new/apt.log" >&2; fail "cannot get $package"; }
	unpack "$new/$package"_*.deb "$new"
	[ ! -d "$new/usr/lib" ] || mv "$new/usr/lib" "$new/lib"
	release=$(ls "$new/lib/modules")
	depmod -b "$new" "$release"
	mv "$new/boot/vmlinuz-$release" "$new/vmlinuz"
	rm -rf "$new/boot" "$new"/*.deb "$new"/*.log
	mv "$new" "$dir/$1" # whole or not at all
}

[ "$(uname -m)" = x86_64 ] || fail "only for x86_64"
mkdir -p "$dir"
exec 9> "$dir/lock"
flock 9
get 6.1 bookworm
get 6.12 bookworm-backports
rm -rf "$dir/apt"
