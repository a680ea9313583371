#!/bin/sh
# Renews the certificate of this node's API server if it is missing.
# Arguments: names of the API server, separated by commas; the range of the Services;
# the version of Kubernetes.
set -e
pki=/etc/kubernetes/pki
# kind's entrypoint may be renewing the certificate now. Afterwards it becomes systemd.
tries=0
until [ "$(cat /proc/1/comm)" = systemd ]; do
	tries=$((tries + 1))
	if [ $tries -gt 300 ]; then
		echo "kind's entrypoint does not end" >&2
		exit 1
	fi
	sleep 0.2
done
if [ -s $pki/apiserver.crt ] && [ -s $pki/apiserver.key ]; then exit 0; fi
rm -f $pki/apiserver.crt $pki/apiserver.key
if [ -s /kind/kubeadm.conf ]; then
	kubeadm init phase certs apiserver --config /kind/kubeadm.conf
else
	endpoint=$(sed -n 's|^ *server: https://||p' /etc/kubernetes/admin.conf)
	kubeadm init phase certs apiserver --control-plane-endpoint "$endpoint" \
		--apiserver-cert-extra-sans "$1" --service-cidr "$2" --kubernetes-version "$3"
fi
# An API server takes up to a minute to end, and the kubelet waits up to five minutes
# before it restarts one that failed.
pkill -KILL -x kube-apiserver || true
systemctl restart kubelet
echo renewed
