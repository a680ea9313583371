package explain

import (
	"strings"
	"testing"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// TestExplainWhyAGroupDoesNotGrow: the answer about a group has what keeps the autoscaler from scaling
// it, or from enlarging it now, and says on what it rests.
func TestExplainWhyAGroupDoesNotGrow(t *testing.T) {
	t.Parallel()
	const least, most = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size", "cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size"
	group := func(c *cluster, g shape.Group) { c.shaped(3, timeline.Group, "web", "web", "", g) }
	flags := func(c *cluster, flags map[string]string) {
		c.Add(3, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Source: timeline.Log, Shape: shape.Encode(shape.Autoscaler{Flags: flags})})
	}
	for name, tc := range map[string]struct {
		then func(c *cluster)
		want string
	}{
		"nothing": {func(*cluster) {}, "min 0, max 4.\n\nSizes\n"},
		"no annotations": {
			func(c *cluster) { group(c, shape.Group{}) },
			"\nWhy the autoscaler does not scale it: it has no annotations with a minimum and a maximum.\nWhat would have to change: the annotations " + least + " and " + most + ".\n",
		},
		"lost": {
			func(c *cluster) {
				group(c, shape.Group{Labels: map[string]string{"pool": "a"}, Annotations: map[string]string{most: "4"}})
				flags(c, map[string]string{"node-group-auto-discovery": "[clusterapi:pool=a]"})
			},
			"\nWhy the autoscaler does not scale it: the autoscaler does not recognise the nodes of web: their MachineSets lack the label pool=a",
		},
		"at its maximum": {
			func(c *cluster) { group(c, shape.Group{Annotations: map[string]string{most: "2"}}) },
			"\nWhy the autoscaler does not enlarge it now: max reached: it wants 2 of at most 2.\nWhat would have to change: max to 3.\n",
		},
		"backed off": {
			func(c *cluster) {
				c.Log(20, "W Disabling scale-up for node group MachineDeployment/default/web until "+c.At(360).Format("2006-01-02 15:04:05.999999999 -0700 MST")+" m=+360.1; errorClass=Other; errorCode=timeout")
			},
			"\nWhy the autoscaler does not enlarge it now: backed off until 22:06:00, 5m00s more.\nWhat would have to change: nothing but time, or a restart of the autoscaler.\n",
		},
		"unhealthy": {
			func(c *cluster) {
				c.Add(20, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Health, Group: "web", Text: "Unhealthy", Source: timeline.Status})
			},
			"\nWhy the autoscaler does not enlarge it now: the autoscaler finds it unhealthy: Unhealthy.\n",
		},
		"paused": {
			func(c *cluster) {
				c.Add(20, timeline.Fact{Kind: timeline.Group, What: timeline.Paused, Name: "web", UID: "g-web", Group: "web", Source: timeline.Watch})
			},
			"\nWhy it gets no machines: it is paused: Cluster API makes no machine for it.\n",
		},
		"no autoscaler runs": {
			func(c *cluster) {
				group(c, shape.Group{})
				c.Log(30, "Cleaned up, exiting...")
			},
			"\nWhy an autoscaler would not scale it: it has no annotations",
		},
	} {
		c := newCluster(0)
		tc.then(c)
		c.on(60, timeline.Node, timeline.Ready, "")
		got, err := Text(t.Context(), c.Record(), "group/web", Options{})
		const basis = "\n\n(as of 22:01:00, from its MachineDeployment, 2 machines and 2 nodes, and the flags of the autoscaler 1.36.1)\n"
		if err != nil || !strings.Contains(got, tc.want) || !strings.HasSuffix(got, basis) {
			t.Errorf("%s: %v: want %q and %q:\n%s", name, err, tc.want, basis, got)
		}
	}
}
