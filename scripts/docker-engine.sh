#!/usr/bin/env bash
# Leaves a Docker engine that can start privileged containers, as kind needs.
#
# Where one is there already, nothing is changed. On Debian and Ubuntu, as
# root, it installs the distribution's engine and starts it. Anywhere else it
# says what to do and changes nothing.
set -euo pipefail

readonly wrapper=/usr/local/sbin/caslab-runc
readonly log=/var/log/caslab-dockerd.log
readonly probe_image=caslab.local/probe:privileged
readonly wait_seconds=60

say() { printf 'docker-engine: %s\n' "$*" >&2; }
die() {
	say "$*"
	exit 1
}

answers() { command -v docker >/dev/null && timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# A privileged container is the only proof that privileged containers work.
# No registry is asked: the image is one static program of this machine.
starts_privileged() {
	local dir out status=0
	out=$(docker images --quiet --filter reference=caslab.local/node 2>/dev/null | head -n 1)
	if [ -n "$out" ]; then
		timeout 60 docker run --rm --privileged --entrypoint /bin/true "$out" >/dev/null 2>&1
		return
	fi
	dir=$(mktemp -d)
	if command -v busybox >/dev/null && ! ldd "$(command -v busybox)" >/dev/null 2>&1; then
		cp "$(command -v busybox)" "$dir/probe"
	elif command -v go >/dev/null; then
		printf 'package main\n\nfunc main() {}\n' >"$dir/probe.go"
		(cd "$dir" && CGO_ENABLED=0 GO111MODULE=off GOFLAGS='' go build -o probe probe.go) >/dev/null || status=2
	else
		status=2
	fi
	if [ "$status" -eq 0 ]; then
		tar -C "$dir" -c probe | docker import - "$probe_image" >/dev/null
		# As "busybox" without a known applet name the program fails; "true" is
		# both an applet and, to the Go program, an argument it ignores.
		timeout 60 docker run --rm --privileged --network none --entrypoint /probe "$probe_image" true >/dev/null 2>&1 || status=1
		docker image rm "$probe_image" >/dev/null 2>&1 || true
	fi
	rm -rf "$dir"
	return "$status"
}

# The capabilities that this process may ever have, and those the kernel knows.
bounding_set() { awk '/^CapBnd:/ { print "0x" $2 }' /proc/self/status; }
all_capabilities() { printf '0x%x\n' $(((1 << ($(cat /proc/sys/kernel/cap_last_cap) + 1)) - 1)); }
bounding_set_is_whole() { [ $(($(bounding_set))) -eq $(($(all_capabilities))) ]; }

require_debian_root() {
	[ "$(uname -s)" = Linux ] ||
		die "no engine answers; on this system install Docker Desktop (or colima, or OrbStack), start it and run this again"
	local id='' like=''
	if [ -r /etc/os-release ]; then
		# shellcheck source=/dev/null
		id=$(. /etc/os-release && printf '%s' "${ID:-}")
		# shellcheck source=/dev/null
		like=$(. /etc/os-release && printf '%s' "${ID_LIKE:-}")
	fi
	case " $id $like " in
	*" debian "* | *" ubuntu "*) ;;
	*) die "no engine answers, and this script installs one on Debian and Ubuntu alone; install Docker as https://docs.docker.com/engine/install/ says and run this again" ;;
	esac
	[ "$(id -u)" -eq 0 ] ||
		die "no engine answers to $(id -un); as root this script installs one: sudo $0 (or add yourself to the group docker, if an engine runs)"
}

install_packages() {
	local missing=()
	command -v dockerd >/dev/null || missing+=(docker.io)
	command -v iptables >/dev/null || missing+=(iptables)
	bounding_set_is_whole || command -v jq >/dev/null || missing+=(jq)
	[ ${#missing[@]} -gt 0 ] || return 0
	say "installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq >&2
	# Nobody starts it yet: the wrapper below may have to come first.
	if ! apt-get install -y -qq --no-install-recommends "${missing[@]}" >/var/log/caslab-apt.log 2>&1; then
		tail -n 20 /var/log/caslab-apt.log >&2
		die "apt-get could not install ${missing[*]}; the log is /var/log/caslab-apt.log"
	fi
}

# Several nodes on one kernel need more watches than a desktop.
raise_inotify_limits() {
	local key want
	for setting in max_user_watches=1048576 max_user_instances=8192; do
		key=/proc/sys/fs/inotify/${setting%%=*}
		want=${setting##*=}
		if [ "$(cat "$key")" -lt "$want" ] && ! echo "$want" 2>/dev/null >"$key"; then
			say "could not raise $key to $want; nodes may fail with \"too many open files\""
		fi
	done
}

# Where the bounding set lacks a capability, Docker before 23 still asks for
# it in every privileged container, and runc fails. The wrapper drops from the
# container's config, and from the process files of exec, what cannot be had.
install_wrapper() {
	say "the bounding set $(bounding_set) is incomplete: installing the runtime wrapper $wrapper"
	cat >"$wrapper" <<-'WRAPPER'
		#!/usr/bin/env bash
		# Installed by caslab's scripts/docker-engine.sh: drops capabilities outside
		# the bounding set from what Docker asks of runc.
		set -euo pipefail
		bnd=$(awk '/^CapBnd:/ { print "0x" $2 }' /proc/self/status)
		names=(CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
			LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER
			SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE
			SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
			MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF
			CHECKPOINT_RESTORE)
		have='[]'
		list=''
		for i in "${!names[@]}"; do
			[ $((bnd >> i & 1)) -eq 1 ] && list+="\"CAP_${names[i]}\","
		done
		have="[${list%,}]"
		trim() {
			local file=$1 path=$2 new
			[ -f "$file" ] || return 0
			new=$(jq --argjson have "$have" "if $path then $path |= map_values(map(select(. as \$c | \$have | index(\$c)))) else . end" "$file")
			printf '%s\n' "$new" >"$file"
		}
		bundle=.
		process=''
		args=("$@")
		for i in "${!args[@]}"; do
			case ${args[i]} in
			--bundle | -b) bundle=${args[i + 1]} ;;
			--bundle=*) bundle=${args[i]#*=} ;;
			--process | -p) process=${args[i + 1]} ;;
			--process=*) process=${args[i]#*=} ;;
			esac
		done
		for arg in "$@"; do
			case $arg in
			create | run) trim "$bundle/config.json" .process.capabilities && break ;;
			exec) [ -z "$process" ] || trim "$process" .capabilities && break ;;
			esac
		done
		exec runc "$@"
	WRAPPER
	chmod 0755 "$wrapper"
}

dockerd_flags() {
	if ! bounding_set_is_whole; then
		printf '%s\n' --add-runtime "caslab=$wrapper" --default-runtime caslab
	fi
	# HAProxy takes memory for as many connections as it may have descriptors.
	local limit
	limit=$(ulimit -Hn)
	if [ "$limit" = unlimited ] || [ "$limit" -gt 1048576 ]; then
		printf '%s\n' --default-ulimit nofile=65883:65883
	fi
}

start_by_hand() {
	local flags=()
	mapfile -t flags < <(dockerd_flags)
	# A hard stop leaves these behind, and dockerd believes them.
	local pid_file pid
	for pid_file in /var/run/docker.pid /var/run/docker/containerd/containerd.pid; do
		[ -f "$pid_file" ] || continue
		pid=$(cat "$pid_file")
		if ! grep -qaE 'dockerd|containerd' "/proc/$pid/cmdline" 2>/dev/null; then rm -f "$pid_file"; fi
	done
	say "starting dockerd; its log is $log"
	# A session of its own, and no file of ours: whoever reads this script's
	# output must not wait for dockerd's end.
	setsid dockerd "${flags[@]}" >>"$log" 2>&1 </dev/null &
}

start_by_systemd() {
	if ! bounding_set_is_whole && [ ! -e /etc/docker/daemon.json ]; then
		mkdir -p /etc/docker
		printf '{"runtimes": {"caslab": {"path": "%s"}}, "default-runtime": "caslab"}\n' "$wrapper" >/etc/docker/daemon.json
	fi
	systemctl enable --now docker >&2
}

wait_for_engine() {
	local i
	for ((i = 0; i < wait_seconds; i++)); do
		if answers; then return 0; fi
		sleep 1
	done
	[ ! -f "$log" ] || tail -n 20 "$log" >&2
	die "the engine did not answer within $wait_seconds s"
}

main() {
	if answers; then
		if starts_privileged; then
			say "already there: $(docker version --format '{{.Server.Version}}'), privileged containers start"
			return
		fi
		die "an engine answers, but starts no privileged container; stop it and run this again as root, or run \`go tool mage env:doctor\` for the cause"
	fi
	require_debian_root
	install_packages
	raise_inotify_limits
	if ! bounding_set_is_whole; then install_wrapper; fi
	if ! answers; then
		if [ -d /run/systemd/system ]; then start_by_systemd; else start_by_hand; fi
		wait_for_engine
	fi
	starts_privileged ||
		die "the engine runs but starts no privileged container; see $log and \`go tool mage env:doctor\`"
	say "ready: Docker $(docker version --format '{{.Server.Version}}')"
}

main "$@"
