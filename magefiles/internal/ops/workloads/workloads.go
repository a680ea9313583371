// Package workloads creates pods that need nodes, in any cluster.
package workloads

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/list"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/workload"
)

// Workloads are the lab's workloads in a cluster.
type Workloads struct {
	*lab.Lab
	// Open opens the cluster.
	Open target.Opener

	// answerWithin replaces lab.AnswerWithin in tests.
	answerWithin time.Duration
}

// bounded returns a context for requests that wait for nothing but the answer.
func (w *Workloads) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return interrupt.WithTimeout(ctx, cmp.Or(w.answerWithin, lab.AnswerWithin))
}

// Options of Add, as text from a command line.
type Options struct {
	// Name of the workload; workload.DefaultName if empty.
	Name string
	// Pods is the number of pods.
	Pods int
	// Memory that each pod requests, and the Image that it runs; the lab chooses
	// both if they are empty.
	Memory, Image string
	// NodeSelector is key=value,key=value; Tolerations are keys of taints.
	NodeSelector, Tolerations string
	// Devices are the extended resources that each pod requests, such as nvidia.com/gpu=1. Claims
	// are the device classes, with the numbers of devices that each pod claims, such as
	// gpu.example.com=1.
	Devices, Claims string
}

// Add makes pods that need nodes.
func (w *Workloads) Add(ctx context.Context, o Options) error {
	wanted := workload.Workload{
		Name: cmp.Or(o.Name, workload.DefaultName), Namespace: target.PodNamespace, Replicas: o.Pods, Memory: o.Memory, Image: o.Image,
	}
	var err error
	if wanted.NodeSelector, err = labels.ConvertSelectorToLabelsMap(o.NodeSelector); err != nil {
		return fmt.Errorf("node selector %q: want key=value,key=value: %w", o.NodeSelector, err)
	}
	if wanted.Tolerations, err = list.Split(o.Tolerations); err != nil {
		return fmt.Errorf("-tolerations: %w", err)
	}
	devices, err := list.Numbers(o.Devices, 1, math.MaxInt32)
	if err != nil {
		return fmt.Errorf("-devices: %w", err)
	}
	claims, err := list.Numbers(o.Claims, 1, math.MaxInt32)
	if err != nil {
		return fmt.Errorf("-claims: %w", err)
	}
	wanted.Devices, wanted.Claims = map[string]string{}, map[string]int{}
	for _, d := range devices {
		wanted.Devices[d.Name] = strconv.Itoa(d.Value)
	}
	for _, d := range claims {
		wanted.Claims[d.Name] = d.Value
	}
	if err := wanted.Validate(); err != nil {
		return err
	}
	c, err := w.Open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := w.bounded(ctx)
	defer cancel()
	made, err := wanted.Add(ctx, c.Workload)
	if err != nil {
		return lab.Waited(ctx, "accept the workload "+wanted.Name, err)
	}
	if o.Memory == "" && made.Unmatched {
		w.Log.Printf("! no node has these labels yet, so each pod requests what fills a node of the cluster; -memory sets what fills one of a smaller group")
	}
	which := ""
	if wanted.Name != workload.DefaultName {
		which = " -name=" + wanted.Name
	}
	w.Log.Printf("workload %s: %s of %s, of the image %s\nmore of them: %s", wanted.Name, count(wanted.Replicas), made.Memory, made.Image, w.Config.Command("workload:scale N"+which))
	return nil
}

// Scale changes the number of pods.
func (w *Workloads) Scale(ctx context.Context, name string, pods int) error {
	if err := workload.CheckReplicas(pods); err != nil {
		return err
	}
	c, err := w.Open(ctx)
	if err != nil {
		return err
	}
	name = cmp.Or(name, workload.DefaultName)
	ctx, cancel := w.bounded(ctx)
	defer cancel()
	if err := workload.Scale(ctx, c.Workload, target.PodNamespace, name, pods); err != nil {
		return lab.Waited(ctx, "accept the number of pods of the workload "+name, err)
	}
	w.Log.Printf("workload %s: %d pods", name, pods)
	return nil
}

// deletionTime bounds the deletion of a workload. Kubernetes' garbage collector deletes 20 pods a
// second by default, and a workload may have 1,000.
const deletionTime = 3 * time.Minute

// Delete deletes the workload, so that its nodes are unneeded.
func (w *Workloads) Delete(ctx context.Context, name string) (err error) {
	c, err := w.Open(ctx)
	if err != nil {
		return err
	}
	name = cmp.Or(name, workload.DefaultName)
	step := w.Log.Start("delete the workload "+name, 2*time.Second)
	defer func() { step.Done("", err) }()
	ctx, cancel := interrupt.WithTimeout(ctx, deletionTime)
	defer cancel()
	return workload.Delete(ctx, c.Workload, target.PodNamespace, name, step.Progress)
}

// count returns the number of pods, as the beginning of what each of them has.
func count(pods int) string {
	if pods == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods, each", pods)
}
