package env

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"caslab/magefiles/internal/workload"
)

// WorkloadOptions of WorkloadAdd, as text from a command line.
type WorkloadOptions struct {
	// Name of the workload; workload.DefaultName if empty.
	Name string
	// Pods to begin with.
	Pods int
	// Memory that each requests, and the Image that it runs; the lab chooses
	// both if they are empty.
	Memory, Image string
	// NodeSelector is key=value,key=value; Tolerations are keys of taints.
	NodeSelector, Tolerations string
}

// WorkloadAdd makes pods that need nodes.
func (l *Lab) WorkloadAdd(ctx context.Context, o WorkloadOptions) error {
	w := workload.Workload{
		Name: or(o.Name, workload.DefaultName), Namespace: namespace, Replicas: o.Pods, Memory: o.Memory, Image: o.Image,
	}
	var err error
	if w.NodeSelector, err = labels.ConvertSelectorToLabelsMap(o.NodeSelector); err != nil {
		return fmt.Errorf("node selector %q: want key=value,key=value: %w", o.NodeSelector, err)
	}
	for key := range strings.SplitSeq(o.Tolerations, ",") {
		if key = strings.TrimSpace(key); key != "" {
			w.Tolerations = append(w.Tolerations, key)
		}
	}
	if err := w.Validate(); err != nil {
		return err
	}
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := within(ctx, time.Minute)
	defer cancel()
	made, err := w.Add(ctx, s.workload)
	if err != nil {
		return err
	}
	which := ""
	if w.Name != workload.DefaultName {
		which = " -name=" + w.Name
	}
	l.log.Printf("workload %s: %d pods, each of %s, of the image %s\nmore of them: go tool mage workload:scale N%s", w.Name, w.Replicas, made.Memory, made.Image, which)
	return nil
}

// WorkloadScale changes the number of pods.
func (l *Lab) WorkloadScale(ctx context.Context, name string, pods int) error {
	if err := workload.CheckReplicas(pods); err != nil {
		return err
	}
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	name = or(name, workload.DefaultName)
	if err := workload.Scale(ctx, s.workload, namespace, name, pods); err != nil {
		return err
	}
	l.log.Printf("workload %s: %d pods", name, pods)
	return nil
}

// WorkloadDelete deletes the workload, so that its nodes are unneeded.
func (l *Lab) WorkloadDelete(ctx context.Context, name string) (err error) {
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	name = or(name, workload.DefaultName)
	step := l.log.Start("delete the workload "+name, 2*time.Second)
	defer func() { step.Done("", err) }()
	ctx, cancel := within(ctx, time.Minute)
	defer cancel()
	return workload.Delete(ctx, s.workload, namespace, name, step.Progress)
}
