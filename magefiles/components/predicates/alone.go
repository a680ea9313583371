package main

import (
	"context"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/interpodaffinity"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/podtopologyspread"
)

// part is a copy of a pod in which only one term or constraint of a kind can refuse a node.
type part struct {
	plugin, reason string
	index          int
	pod            *corev1.Pod
}

// parts returns the pod once for each of its terms and constraints, where it has several of a kind. The
// filters stop at the first one that refuses a node, and do not say which one that is.
func parts(pod *corev1.Pod) []part {
	var all []part
	add := func(plugin, reason string, n int, keep func(p *corev1.Pod, i int)) {
		for i := range n {
			if n > 1 {
				alone := pod.DeepCopy()
				keep(alone, i)
				all = append(all, part{plugin, reason, i, alone})
			}
		}
	}
	if a := pod.Spec.Affinity; a != nil && a.PodAffinity != nil {
		add(names.InterPodAffinity, interpodaffinity.ErrReasonAffinityRulesNotMatch, len(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution), func(p *corev1.Pod, i int) {
			terms := &p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
			*terms = (*terms)[i : i+1]
		})
	}
	if a := pod.Spec.Affinity; a != nil && a.PodAntiAffinity != nil {
		add(names.InterPodAffinity, interpodaffinity.ErrReasonAntiAffinityRulesNotMatch, len(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution), func(p *corev1.Pod, i int) {
			terms := &p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
			*terms = (*terms)[i : i+1]
			p.Spec.Affinity.PodAffinity = nil // it is judged first
		})
	}
	// The constraints together decide which nodes count, so the others stay, and allow any skew.
	add(names.PodTopologySpread, podtopologyspread.ErrReasonConstraintsNotMatch, len(pod.Spec.TopologySpreadConstraints), func(p *corev1.Pod, i int) {
		for other := range p.Spec.TopologySpreadConstraints {
			if other != i {
				p.Spec.TopologySpreadConstraints[other].MaxSkew = math.MaxInt32
			}
		}
	})
	return all
}

// alone adds the terms and constraints that refuse a node by themselves to the refusals found.
func (f filters) alone(ctx context.Context, pod *corev1.Pod, all, candidates []fwk.NodeInfo, found [][]Refusal) {
	for _, p := range parts(pod) {
		same := func(r Refusal) bool { return r.Plugin == p.plugin && slices.Contains(r.Reasons, p.reason) }
		plugin := slices.IndexFunc(f, func(plugin fwk.Plugin) bool { return plugin.Name() == p.plugin })
		if plugin < 0 || !slices.ContainsFunc(found, func(refusals []Refusal) bool { return slices.ContainsFunc(refusals, same) }) {
			continue
		}
		for n, refusals := range f[plugin:plugin+1].ask(ctx, p.pod, all, candidates) {
			if i := slices.IndexFunc(found[n], same); i >= 0 && slices.ContainsFunc(refusals, same) {
				found[n][i].Alone = append(found[n][i].Alone, p.index)
			}
		}
	}
}
