package node

import (
	"context"
	"fmt"
	"strings"

	"caslab/magefiles/internal/capi/release"
)

// prepareCgroups is the path of the script that a node runs before its kubelet.
const prepareCgroups = "/kind/bin/caslab-cgroups.sh"

const prepareUnit = "/etc/systemd/system/kubelet.service.d/20-caslab.conf"

// unbind undoes the bind mounts of kind's entrypoint, which mounts the kubelet's cgroups
// over themselves.
const unbind = `findmnt -lun -o target -t cgroup | awk '/^\/sys\/fs\/cgroup\/[^\/]+\/kubelet(\.slice)?$/' | while read -r mount; do
  umount "$mount"
done
`

// complete creates the kubelet's cgroups where they are missing. kind's entrypoint
// creates them before systemd mounts the hierarchies that the engine does not know,
// such as hugetlb. The kubelet wants its cgroups there too.
const complete = `findmnt -lun -o target -t cgroup | awk '/^\/sys\/fs\/cgroup\/[^\/]+$/' | while read -r hierarchy; do
  mkdir -p "$hierarchy/kubelet" "$hierarchy/kubelet.slice"
done
`

// cgroupScript returns the script at prepareCgroups. It changes nothing on cgroup
// v2, where kind has such a script of its own.
func cgroupScript(k release.Kubernetes) string {
	script := "#!/bin/bash\nset -eu\n"
	if !k.BoundCgroups {
		script += unbind
	}
	return script + complete
}

// prepareKubelet adds the script and its unit to the node.
func (c *container) prepareKubelet(ctx context.Context, script string) error {
	unit := "[Service]\nExecStartPre=" + prepareCgroups + "\n"
	for _, file := range []struct{ path, mode, text string }{{prepareCgroups, "0755", script}, {prepareUnit, "0644", unit}} {
		if _, err := c.engine.Exec(ctx, c.id, strings.NewReader(file.text), "install", "-D", "-m", file.mode, "/dev/stdin", file.path); err != nil {
			return fmt.Errorf("write %s: %w", file.path, err)
		}
	}
	return nil
}
