#!/usr/bin/env bash
# Makes the Debian root file system of the lab's own node image.
#
#   node-rootfs.sh OUTDIR
#
# leaves OUTDIR/rootfs.tar, and OUTDIR/iptables.tar with iptables and what it
# loads, for the images that need nothing else. It needs root and Debian or
# Ubuntu, for debootstrap. bookworm, because its systemd 252 boots on cgroup v1
# and v2, and trixie's refuses v1. haproxy is for the load balancer image, which
# shares this layer.
set -euo pipefail

readonly suite=bookworm
readonly packages=(
	systemd systemd-sysv dbus udev
	runc conntrack iptables nftables iproute2 ethtool kmod mount util-linux libseccomp2 socat
	procps jq hostname ca-certificates curl pigz tar haproxy
)

say() { printf 'node-rootfs: %s\n' "$*" >&2; }
die() {
	say "$*"
	exit 1
}

# The mirror this machine already uses for Debian; nothing, which is Debian's
# own to debootstrap, if it uses none.
debian_mirror() {
	local found=''
	if grep -q '^ID=debian$' /etc/os-release; then
		found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
			grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ' || true)
	fi
	printf '%s' "$found"
}

# A node is a container: units that care for hardware have no work there.
trim_units() {
	local root=$1
	rm -f "$root"/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service \
		"$root"/lib/systemd/system/multi-user.target.wants/* \
		"$root"/etc/systemd/system/*.wants/* \
		"$root"/lib/systemd/system/local-fs.target.wants/* \
		"$root"/lib/systemd/system/sockets.target.wants/*udev* \
		"$root"/lib/systemd/system/sockets.target.wants/*initctl* \
		"$root"/lib/systemd/system/basic.target.wants/*
	ln -sf /dev/null "$root/etc/systemd/system/systemd-binfmt.service"
	echo 'ReadKMsg=no' >>"$root/etc/systemd/journald.conf"
}

pack() { tar --sort=name --mtime=@0 --numeric-owner "$@"; }

# iptables is no static program and loads its extensions by name.
pack_iptables() {
	local root=$1 out=$2
	{
		printf '%s\n' usr/sbin/xtables-nft-multi lib lib64 etc/protocols
		# shellcheck disable=SC2016 # expanded inside the root
		chroot "$root" sh -c '
			ls /usr/lib/*/xtables/*.so
			ldd /usr/sbin/xtables-nft-multi /usr/lib/*/xtables/*.so | grep -oE "/[^ :]+[.]so[^ :]*" | sort -u |
				while read -r lib; do
					echo "$lib"
					readlink -f "$lib"
				done'
	} |
		# /lib and /lib64 are links to their namesakes below /usr.
		sed -E 's|^/lib(64)?/|/usr/lib\1/|; s|^/||' | sort -u |
		while read -r file; do
			if [ -e "$root/$file" ] || [ -L "$root/$file" ]; then printf '%s\n' "$file"; fi
		done |
		pack -C "$root" --no-recursion -cf "$out" --files-from=-
}

# debootstrap mounts proc and sys in its root; a run that was killed leaves them
# mounted, and removing what is below them would reach into the kernel.
remove_work() {
	local dir=$1 mounted
	# A space is \040 in mountinfo.
	mounted=$(dir="$dir/" awk '{ gsub(/\\040/, " ", $5) } index($5, ENVIRON["dir"]) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
	while IFS= read -r mount; do
		[ -n "$mount" ] || continue
		umount "$mount" || umount --lazy "$mount"
	done <<<"$mounted"
	rm -rf --one-file-system "$dir"
}

main() {
	[ $# -eq 1 ] || die "usage: node-rootfs.sh OUTDIR"
	[ "$(id -u)" -eq 0 ] || die "debootstrap needs root; run the lab as root, or set NODE_IMAGE=registry"
	command -v apt-get >/dev/null || die "debootstrap needs Debian or Ubuntu; set NODE_IMAGE=registry"
	local out=$1 include mirror

	if ! command -v debootstrap >/dev/null || [ ! -e /usr/share/keyrings/debian-archive-keyring.gpg ]; then
		say "installing debootstrap"
		# Another apt-get, as of a machine that just booted, is waited for.
		apt-get -o DPkg::Lock::Timeout=120 update -qq >&2
		DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends debootstrap debian-archive-keyring >&2
	fi

	mkdir -p "$out"
	# mountinfo has real paths.
	out=$(cd "$out" && pwd -P)
	# A killed run's debootstrap may live on for a moment, with this lock.
	exec 9>"$out/lock"
	flock -n 9 || { say "waiting for the end of a run before this one"; flock 9; }
	local left
	for left in "$out"/work.*; do
		[ ! -d "$left" ] || remove_work "$left"
	done
	work=$(mktemp -d "$out/work.XXXXXX")
	trap 'remove_work "$work"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	include=$(IFS=, && printf '%s' "${packages[*]}")
	mirror=$(debian_mirror)
	say "debootstrap $suite"
	debootstrap --variant=minbase --include="$include" \
		--keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		"$suite" "$work/root" ${mirror:+"$mirror"} >&2

	say "cleaning"
	rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* "$work"/root/var/log/* \
		"$work"/root/usr/share/doc/* "$work"/root/usr/share/man/* "$work"/root/usr/share/locale/* \
		"$work"/root/dev/* "$work"/root/tmp/* "$work"/root/var/cache/ldconfig
	: >"$work/root/etc/machine-id"
	rm -f "$work/root/etc/hostname" "$work/root/etc/resolv.conf" "$work/root/etc/apt/sources.list"

	trim_units "$work/root"

	say "packing"
	pack_iptables "$work/root" "$work/iptables.tar"
	pack -C "$work/root" --one-file-system --exclude='./proc/*' --exclude='./sys/*' -cf "$work/rootfs.tar" .
	mv "$work/iptables.tar" "$work/rootfs.tar" "$out/"
	say "$(du -ch "$out"/*.tar | tail -n 1 | cut -f1) in $out"
}

main "$@"
