package main

import (
	"context"
	"io"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/environment"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/ops/autoscalers"
	"caslab/magefiles/internal/ops/groups"
	"caslab/magefiles/internal/ops/hollows"
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
	hollows     *hollows.Hollows
	workloads   *workloads.Workloads
	scenarios   *scenarios.Scenarios
	timelines   *timelines.Timelines

	// leave ends the command's visit to the environment, if the command opened the cluster.
	leave func() error
}

// newSession returns a session of a command with the settings. The caller closes its lab
// and then calls leave.
func newSession(cfg *config.Config, command string, shown ui.Options, out, stderr io.Writer) *session {
	return sessionOf(lab.New(cfg, shown, out, stderr), command)
}

// sessionOf returns a session of a command that uses the lab.
func sessionOf(l *lab.Lab, command string) *session {
	stay := func() error { return nil }
	s := &session{cfg: l.Config, out: l.Out, lab: l, leave: stay}
	s.environment = environment.New(l, func(l *lab.Lab) environment.Recorder { return &timelines.Recorder{Lab: l} })
	visiting := false
	open := func(ctx context.Context) (*target.Cluster, error) {
		c, err := target.Open(ctx, target.Options{
			Workload: l.Config.WorkloadKubeconfig, Management: l.Config.ManagementKubeconfig,
			Name: l.Config.ClusterName, Namespace: l.Config.Namespace, Environment: s.environment.SelfManaged, Start: l.Config.Command("env:up"),
		})
		if err != nil || !c.Own || visiting {
			return c, err
		}
		leave, err := s.environment.Visit(ctx, command, c.Workload.Answers)
		if err != nil {
			return nil, err
		}
		visiting = true
		s.leave = func() error {
			visiting, s.leave = false, stay
			return leave()
		}
		return c, nil
	}
	s.timelines = &timelines.Timelines{Lab: l, Open: open}
	s.autoscalers = &autoscalers.Autoscalers{Lab: l, Open: open, Recorder: s.timelines, Nodes: s.environment}
	s.timelines.Autoscaler, s.timelines.TakeSnapshot, s.timelines.Metrics = s.autoscalers.Release, s.autoscalers.Snapshot, s.autoscalers.Metrics
	s.hollows = &hollows.Hollows{Lab: l, Open: open, Nodes: s.environment}
	prepare := s.hollows.PrepareOnce()
	s.environment.PrepareHollow = func(ctx context.Context, c *kube.Client) error {
		return s.hollows.Prepare(ctx, &target.Cluster{Workload: c, Management: c, Name: l.Config.ClusterName, Namespace: l.Config.Namespace, Own: true})
	}
	s.groups = &groups.Groups{Lab: l, Open: open, AddFact: s.timelines.AddFact, Prepare: prepare}
	s.workloads = &workloads.Workloads{Lab: l, Open: open}
	s.scenarios = &scenarios.Scenarios{Lab: l, Open: open, Autoscalers: s.autoscalers, Timelines: s.timelines, PrepareHollow: prepare, Containers: s.environment.Machines()}
	return s
}
