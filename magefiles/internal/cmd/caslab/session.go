package main

import (
	"context"
	"io"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/environment"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/ops/autoscalers"
	"caslab/magefiles/internal/ops/groups"
	"caslab/magefiles/internal/ops/scenarios"
	"caslab/magefiles/internal/ops/timelines"
	"caslab/magefiles/internal/ops/workloads"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/ui"
)

// session is what a verb works with.
type session struct {
	cfg *config.Config
	out io.Writer

	lab         *lab.Lab
	environment *environment.Environment
	autoscalers *autoscalers.Autoscalers
	groups      *groups.Groups
	workloads   *workloads.Workloads
	scenarios   *scenarios.Scenarios
	timelines   *timelines.Timelines
}

// newSession returns a session for the settings. The caller closes its lab.
func newSession(cfg *config.Config, shown ui.Options, out, stderr io.Writer) *session {
	return sessionOf(lab.New(cfg, shown, out, stderr))
}

// sessionOf returns a session that uses the lab.
func sessionOf(l *lab.Lab) *session {
	s := &session{cfg: l.Config, out: l.Out, lab: l}
	s.environment = environment.New(l, func(l *lab.Lab) environment.Recorder { return &timelines.Recorder{Lab: l} })
	open := func(ctx context.Context) (*target.Cluster, error) {
		return target.Open(ctx, target.Options{
			Workload: l.Config.WorkloadKubeconfig, Management: l.Config.ManagementKubeconfig,
			Name: l.Config.ClusterName, Namespace: l.Config.Namespace, Environment: s.environment.SelfManaged,
		})
	}
	s.timelines = &timelines.Timelines{Lab: l, Open: open}
	s.autoscalers = &autoscalers.Autoscalers{Lab: l, Open: open, Recorder: s.timelines, Nodes: s.environment}
	s.timelines.Autoscaler = s.autoscalers.Release
	s.groups = &groups.Groups{Lab: l, Open: open}
	s.workloads = &workloads.Workloads{Lab: l, Open: open}
	s.scenarios = &scenarios.Scenarios{Lab: l, Open: open, Autoscalers: s.autoscalers, Timelines: s.timelines}
	return s
}
