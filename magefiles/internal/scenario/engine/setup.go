package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"caslab/magefiles/internal/scenario"
)

// setUp removes what an earlier run left, creates the groups and objects, starts the
// watches and the autoscaler, and begins to evaluate what must always hold.
func (e *engine) setUp(ctx context.Context, progress func(string)) error {
	limited, cancel := context.WithTimeoutCause(ctx, setupTime, fmt.Errorf("it took longer than %s", setupTime))
	defer cancel()
	if err := e.cluster.RefusePaused(limited); err != nil {
		return err
	}
	e.clusterChanged = true
	if err := e.cluster.CleanUp(limited, progress); err != nil {
		return fmt.Errorf("remove what an earlier run left: %w", err)
	}
	// From here on, the autoscaler's statements may be about this scenario.
	e.w.setBegin()
	progress("the node groups")
	if err := e.cluster.MakeGroups(limited, progress); err != nil {
		return err
	}
	if err := e.cluster.CountNodes(limited); err != nil {
		return err
	}
	e.w.setVariables(e.cluster.Variables())
	if err := e.cluster.ApplyObjects(limited); err != nil {
		return err
	}
	progress("the watches")
	// The watches go on after the set-up.
	namespaces, err := e.namespaces()
	if err != nil {
		return err
	}
	objects, err := e.w.collections(e.s.Checks())
	if err != nil {
		return err
	}
	if err := e.w.follow(ctx, limited, e.o, namespaces, objects); err != nil {
		return err
	}
	if e.o.Autoscaler.Controlled() {
		progress("the autoscaler")
		if e.remembered {
			if err := e.o.Autoscaler.Stop(limited); err != nil {
				return err
			}
		}
		if err := e.startAutoscaler(limited); err != nil {
			return fmt.Errorf("start the autoscaler: %w", err)
		}
	}
	e.followMetrics(ctx)
	base := e.w.baseline()
	for _, c := range e.s.Always {
		e.always = append(e.always, &watch{check: c, base: base, stay: true})
	}
	e.w.add(e.always...)
	return nil
}

// namespaces returns the namespaces of workloads other than PodNamespace.
func (e *engine) namespaces() ([]string, error) {
	var all []string
	for _, name := range e.s.Namespaces() {
		name, err := e.cluster.Variables().Expand(name)
		if err != nil {
			return nil, err
		}
		if name != e.o.PodNamespace && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all, nil
}

// do does an action.
func (e *engine) do(ctx context.Context, a *scenario.Action, progress func(string)) error {
	switch {
	case a.Autoscaler != "":
		return e.autoscaler(ctx, a.Autoscaler)
	case a.Flags != nil:
		e.flags = a.Flags
		return e.autoscaler(ctx, "restart")
	case a.Rollout != "":
		e.w.recordOldMachines(e.o.Prefix + a.Rollout)
	}
	return e.cluster.Do(ctx, a, progress)
}

func (e *engine) autoscaler(ctx context.Context, action string) error {
	var err error
	switch action {
	case "stop":
		return e.o.Autoscaler.Stop(ctx)
	case "restart":
		err = e.o.Autoscaler.Stop(ctx)
	case "kill":
		err = e.o.Autoscaler.Kill(ctx)
	}
	if err != nil {
		return err
	}
	return e.startAutoscaler(ctx)
}

// startAutoscaler starts the autoscaler with the scenario's flags of this time.
func (e *engine) startAutoscaler(ctx context.Context) error {
	i := Invocation{RBAC: e.s.Autoscaler.RBAC}
	expand := e.cluster.Variables().Expand
	for _, flag := range e.flags {
		flag, err := expand(flag)
		if err != nil {
			return err
		}
		i.Flags = append(i.Flags, flag)
	}
	for _, name := range slices.Sorted(maps.Keys(e.s.Autoscaler.Environment)) {
		value, err := expand(e.s.Autoscaler.Environment[name])
		if err != nil {
			return err
		}
		i.Env = append(i.Env, name+"="+value)
	}
	// Metrics count from the beginning of a process.
	e.w.forgetMetrics()
	return e.o.Autoscaler.Start(ctx, i)
}
