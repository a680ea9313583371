#!/usr/bin/env bash
# Provides a Docker engine that can start privileged containers, which kind needs.
#
# Where such an engine runs, it changes nothing. On Debian and Ubuntu, as root, it
# installs the distribution's engine and starts it. Elsewhere it says what to do
# and changes nothing.
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

# macOS has no timeout command: there, the script hangs if the engine does.
within() {
	local seconds=$1
	shift
	if command -v timeout >/dev/null; then timeout "$seconds" "$@"; else "$@"; fi
}

answers() { command -v docker >/dev/null && within 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# A static program for the engine's architecture, which differs from this machine's
# if the engine is in a virtual machine or elsewhere.
make_probe() {
	local dir=$1 arch
	arch=$(docker version --format '{{.Server.Arch}}') || return
	if command -v go >/dev/null; then
		printf 'package main\n\nfunc main() {}\n' >"$dir/probe.go"
		(cd "$dir" && CGO_ENABLED=0 GOOS=linux GOARCH="$arch" GO111MODULE=off GOFLAGS='' GOWORK=off go build -o probe probe.go) >/dev/null
	elif [ "$(uname -s)" = Linux ] && command -v busybox >/dev/null && ! ldd "$(command -v busybox)" >/dev/null 2>&1; then
		# This machine runs it, so an engine on this machine does.
		cp "$(command -v busybox)" "$dir/probe"
	else
		return 1
	fi
}

# A privileged container is the only proof that privileged containers work.
# No registry is asked: the image is one static program. The status is 0 if one
# starts, 1 if none does, and 2 if that could not be tried.
starts_privileged() {
	local dir image status=0
	image=$(docker images --quiet --filter reference=caslab.local/node 2>/dev/null | head -n 1)
	if [ -n "$image" ]; then
		within 60 docker run --rm --privileged --network none --entrypoint /bin/true "$image" >/dev/null 2>&1 || status=1
		return "$status"
	fi
	dir=$(mktemp -d)
	if make_probe "$dir" && tar -C "$dir" -cf - probe | docker import - "$probe_image" >/dev/null; then
		# As "busybox" without a known applet name the program fails; "true" is
		# both an applet and, to the Go program, an argument it ignores.
		within 60 docker run --rm --privileged --network none --entrypoint /probe "$probe_image" true >/dev/null 2>&1 || status=1
		docker image rm "$probe_image" >/dev/null 2>&1 || true
	else
		status=2
	fi
	rm -rf "$dir"
	return "$status"
}

# Prints what was found, $1, or ends the script if the engine starts no privileged
# container; $2 is what to do then.
report() {
	local version status=0
	version=$(docker version --format '{{.Server.Version}}')
	starts_privileged || status=$?
	case $status in
	0) say "$1: Docker $version, privileged containers start" ;;
	2) say "$1: Docker $version; whether privileged containers start could not be tried, for want of go: \`go tool mage env:doctor\` will" ;;
	*) die "the engine runs, but cannot start a privileged container; $2" ;;
	esac
}

# The capabilities that this process can have, and those that the kernel knows.
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
	*) die "no engine answers, and this script installs one only on Debian and Ubuntu; install Docker as https://docs.docker.com/engine/install/ says and run this again" ;;
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
	# A machine that just booted may run another apt-get: wait for it.
	apt-get -o DPkg::Lock::Timeout=120 update -qq >&2
	if ! apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends "${missing[@]}" >/var/log/caslab-apt.log 2>&1; then
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
# it in every privileged container, and runc fails. The wrapper removes missing
# capabilities from the container's config and from the process files of exec.
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
			new=$(jq --argjson have "$have" "if $path then $path |= map_values(map(select(. as \$c | \$have | index(\$c)))) else . end" "$file") || return
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
	# HAProxy allocates memory for as many connections as it may have descriptors.
	local limit
	limit=$(ulimit -Hn)
	if [ "$limit" = unlimited ] || [ "$limit" -gt 1048576 ]; then
		printf '%s\n' --default-ulimit nofile=65883:65883
	fi
}

start_by_hand() {
	local flags=()
	mapfile -t flags < <(dockerd_flags)
	# A hard stop leaves these files behind, and dockerd trusts them.
	local pid_file pid
	for pid_file in /var/run/docker.pid /var/run/docker/containerd/containerd.pid; do
		[ -f "$pid_file" ] || continue
		pid=$(cat "$pid_file")
		if ! grep -qaE 'dockerd|containerd' "/proc/$pid/cmdline" 2>/dev/null; then rm -f "$pid_file"; fi
	done
	say "starting dockerd; its log is $log"
	# In a new session and without this script's files: a reader of the script's
	# output must not wait until dockerd ends.
	setsid dockerd "${flags[@]}" >>"$log" 2>&1 </dev/null &
}

runtime_settings() {
	printf '{"runtimes": {"caslab": {"path": "%s"}}, "default-runtime": "caslab"}\n' "$wrapper"
}

# $1 is true if the engine was just installed. Its package has started it without
# the wrapper, and it has no containers yet. An engine that was installed before is
# not restarted.
start_by_systemd() {
	local just_installed=$1
	if ! bounding_set_is_whole; then
		if [ -e /etc/docker/daemon.json ]; then
			say "/etc/docker/daemon.json is there and stays as it is; if privileged containers do not start, add to it: $(runtime_settings)"
		else
			mkdir -p /etc/docker
			runtime_settings >/etc/docker/daemon.json
		fi
	fi
	systemctl enable docker >&2
	if "$just_installed"; then systemctl restart docker >&2; else systemctl start docker >&2; fi
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
		report 'already there' "stop it and run this again as root, or run \`go tool mage env:doctor\` for the cause"
		return
	fi
	require_debian_root
	local just_installed=false
	command -v dockerd >/dev/null || just_installed=true
	install_packages
	raise_inotify_limits
	if ! bounding_set_is_whole; then install_wrapper; fi
	if [ -d /run/systemd/system ]; then
		start_by_systemd "$just_installed"
	elif ! answers; then
		start_by_hand
	fi
	wait_for_engine
	local where=$log
	[ ! -d /run/systemd/system ] || where='journalctl -u docker'
	report 'ready' "see $where and \`go tool mage env:doctor\`"
}

main "$@"
