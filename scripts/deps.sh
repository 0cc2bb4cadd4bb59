#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs from the distribution what building, running and testing need; `deps.sh build`: what building needs.
set -eu
PKGS="gcc make pkg-config ca-certificates clang-19 llvm-19 bpftool \
libbpf-dev libelf-dev zlib1g-dev libyaml-dev libjansson-dev libmicrohttpd-dev libcap-ng-dev libmnl-dev libpcap-dev \
libcurl4-openssl-dev libprotobuf-c-dev protobuf-c-compiler libxdp-dev"
TEST="g++ git libclang-rt-19-dev clang-format-19 libcmocka-dev libre2-dev python3 python3-pytest python3-scapy python3-yaml iproute2 ethtool procps \
iputils-ping nginx-light apache2 haproxy lighttpd lighttpd-modules-lua nodejs tinyproxy python3-websockets curl wrk \
debhelper systemd logrotate umoci containernetworking-plugins busybox-static apache2-utils hping3 netsniff-ng tcpreplay slowhttptest nftables iptables dnsmasq-base xdp-tools"
# Where others brought theirs, Debian's packages would remove them.
for p in containerd runc; do
	command -v $p > /dev/null || TEST="$TEST $p"
done
# tests/kernels boots other kernels, in a machine that is emulated.
[ "$(uname -m)" != x86_64 ] || TEST="$TEST qemu-system-x86 cpio kmod"
[ "${1:-}" = build ] || PKGS="$PKGS $TEST"
missing=""
for p in $PKGS; do
	dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "missing:$missing. Install them with: sudo make deps" >&2; exit 1; }
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# No daemon may start because its package came in: nginx and apache2 are only test servers here.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' > "$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT INT TERM
fi
apt-get update -q
# shellcheck disable=SC2086
apt-get install -y -q --no-install-recommends $missing
