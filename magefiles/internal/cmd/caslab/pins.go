package main

import (
	"context"
	"fmt"
	"time"

	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/pins"
	"caslab/magefiles/internal/source"
)

var pinVerbs = []verb{
	simpleVerb(usage{
		name:    "pins:check",
		summary: "Prints which pins have newer releases.",
	}, func(ctx context.Context, s *session) error {
		step := s.lab.Log.Start("ask for the releases of all pins", 5*time.Second)
		answers, err := pins.Check(ctx, s.pinOptions(nil))
		step.Done("", err)
		if err != nil {
			return err
		}
		return pins.Print(s.out, answers)
	}),
	verbWithOptions(usage{
		name:    "pins:bump",
		summary: "Changes a pin everywhere in this checkout, with all that depends on it, prints what changed and what to do next, and commits nothing.",
		args: []argument{
			{"PIN", "the name of the pin, as pins:check prints it"},
			{"VERSION", "a release, or newest"},
		},
		example: "go tool mage pins:bump kubernetes newest",
	}, noOptions, func(ctx context.Context, s *session, _ struct{}, args []string) error {
		step := s.lab.Log.Start("change the pin of "+args[0], 30*time.Second)
		change, err := pins.Bump(ctx, args[0], args[1], s.pinOptions(step.Progress))
		step.Done("", err)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s: %s to %s\n", change.Name, change.Version, change.To)
		for _, part := range []struct {
			title string
			lines []string
		}{{"changed", change.Files}, {"note", change.Notes}, {"next", change.Next}} {
			for _, line := range part.lines {
				fmt.Fprintf(s.out, "%s\t%s\n", part.title, line)
			}
		}
		return nil
	}),
}

func (s *session) pinOptions(progress func(string)) pins.Options {
	return pins.Options{
		Root: s.cfg.Root, Runner: s.lab.Runner, Progress: progress,
		Specs: []source.Spec{component.ClusterAPI(s.cfg), component.Autoscaler(s.cfg)},
	}
}
