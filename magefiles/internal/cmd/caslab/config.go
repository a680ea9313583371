package main

import (
	"context"
	"flag"
	"fmt"
	"text/tabwriter"

	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/ops/matrix"
)

var configVerbs = []verb{
	simpleVerb(usage{
		name:    "config:show",
		summary: "Prints every setting with its value, where the value comes from, and the environment variable that changes it.",
	}, showConfig),
	verbWithOptions(usage{
		name:    "config:matrix",
		summary: "Prints which releases of Cluster API, Kubernetes and the autoscaler work together, and which were tried.",
		example: "go tool mage config:matrix -all",
	}, func(fs *flag.FlagSet, all *bool) {
		fs.BoolVar(all, "all", false, "every release that changed something, and every pair that was tried")
	}, func(_ context.Context, s *session, all bool, _ []string) error { return matrix.Print(s.out, all) }),
}

func showConfig(_ context.Context, s *session) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "SETTING\tVARIABLE\tVALUE\tFROM\tMEANING")
	for _, v := range s.cfg.Values() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Key, v.Env, v.Value, v.Origin, v.Doc)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, warning := range component.Doubts(s.cfg) {
		fmt.Fprintln(s.out, "!", warning)
	}
	if err := s.cfg.CheckEnvironment(); err != nil {
		fmt.Fprintln(s.out, "! env:up refuses these settings:", err)
	}
	return nil
}
