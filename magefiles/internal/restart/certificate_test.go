package restart

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRenewScript runs the script in a folder that stands for the node's root, with
// programs that say how they were called.
func TestRenewScript(t *testing.T) {
	t.Parallel()
	const (
		crt, key = "etc/kubernetes/pki/apiserver.crt", "etc/kubernetes/pki/apiserver.key"
		config   = "kind/kubeadm.conf"
		restarts = "pkill -KILL -x kube-apiserver\nsystemctl restart kubelet\nrenewed\n"
	)
	for name, tc := range map[string]struct {
		// files are there, beside that of the node's PID 1 and admin.conf.
		files []string
		pid1  string
		want  string
		fails bool
	}{
		"all is there": {files: []string{crt, key}, pid1: "systemd"},
		"the certificate is gone": {files: []string{key, config}, pid1: "systemd",
			want: "kubeadm init phase certs apiserver --config ROOT/kind/kubeadm.conf\n" + restarts},
		"no configuration": {pid1: "systemd",
			want: "kubeadm init phase certs apiserver --control-plane-endpoint work-lb:6443 --apiserver-cert-extra-sans localhost,127.0.0.1 --service-cidr 10.96.0.0/16 --kubernetes-version v1.36.1\n" + restarts},
		"the entrypoint does not end": {pid1: "entrypoint", fails: true},
	} {
		// Not in parallel: a program cannot be started while another process, which was
		// just forked, has it open for writing.
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write := func(path, text string) {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, path := range tc.files {
				write(path, "there")
			}
			write("proc/1/comm", tc.pid1+"\n")
			write("etc/kubernetes/admin.conf", "clusters:\n- cluster:\n    server: https://work-lb:6443\n")
			for _, program := range []string{"kubeadm", "pkill", "systemctl"} {
				write("bin/"+program, "#!/bin/sh\necho "+program+" \"$@\"\n")
			}
			write("bin/sleep", "#!/bin/sh\n")
			script := strings.NewReplacer("/etc/kubernetes", root+"/etc/kubernetes", "/proc/1", root+"/proc/1", "/kind/", root+"/kind/").Replace(renew)
			c := exec.CommandContext(t.Context(), "sh", "-c", script, "renew", "localhost,127.0.0.1", "10.96.0.0/16", "v1.36.1")
			c.Env = []string{"PATH=" + filepath.Join(root, "bin") + ":/usr/bin:/bin"}
			out, err := c.Output()
			if want := strings.ReplaceAll(tc.want, "ROOT", root); string(out) != want || (err != nil) != tc.fails {
				t.Errorf("it ran %q, %v; want %q", out, err, want)
			}
			if _, err := os.Stat(filepath.Join(root, key)); (err == nil) != (len(tc.files) > 0 && tc.want == "") {
				t.Errorf("the key: %v; want it only with its certificate", err)
			}
		})
	}
}
