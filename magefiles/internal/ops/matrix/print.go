package matrix

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/capi/release/proof"
	"caslab/magefiles/internal/ui"
)

// Print prints which releases work together, and when each series was tried. With all,
// it prints every release that changed something, and every combination that was tried.
func Print(out io.Writer, all bool) error {
	proofs, err := proof.All()
	if err != nil {
		return err
	}
	if all {
		return writeWholeMatrix(out, proofs)
	}
	return writeMatrix(out, proofs)
}

// matrixHeader and matrixRows have the short matrix, with one row for each
// series of Cluster API, the newest first. README.md has it too: see inReadme.
var matrixHeader = []string{"CLUSTER API", "KUBERNETES", "DEFAULT", "AUTOSCALER", "API", "COMPILED BY", "CLUSTERCTL", "BUILT", "GENERATED", "RAN"}

func matrixRows(proofs []proof.Record) [][]string {
	var rows [][]string
	all := release.All()
	for i := range all {
		r := all[len(all)-1-i]
		rows = append(rows, append(append([]string{"v" + r.Version.String()}, facts(r)...), dates(proof.Done(proofs, r))...))
	}
	return rows
}

// facts returns the columns KUBERNETES to CLUSTERCTL.
func facts(r release.Release) []string {
	clusterctl := "library"
	if r.OwnClusterctl() {
		clusterctl = "its own"
	}
	return []string{r.Kubernetes.String(), r.DefaultKubernetes, "v" + r.DefaultAutoscaler, r.API, cmp.Or(r.Toolchain, "today's Go"), clusterctl}
}

func dates(p proof.Record) []string {
	return []string{cmp.Or(p.Built, "-"), cmp.Or(p.Generated, "-"), cmp.Or(p.Ran, "-")}
}

func writeMatrix(out io.Writer, proofs []proof.Record) error {
	w := ui.NewTable(out, matrixHeader...)
	for _, row := range matrixRows(proofs) {
		w.Row(row...)
	}
	if err := w.End(); err != nil {
		return err
	}
	last := release.Newest()
	fmt.Fprintf(out, `
KUBERNETES has the minors that upstream supports for a cluster that manages itself. DEFAULT and AUTOSCALER are the
versions of Kubernetes and of the autoscaler that you get if you set only CAPI_VERSION. A newer Cluster API is treated
as %s, and a newer Kubernetes as v1.%d, with a warning. FORCE=true brings up other pairs. BUILT, GENERATED and RAN are
the last days of the series, maybe with another Kubernetes. -all prints every pair that was tried, and every release
that changed something, of the autoscaler too.
`, last.Series(), last.Kubernetes.Max)
	return nil
}

// writeWholeMatrix writes every release of Cluster API that changes something in the
// matrix, with what its Docker provider needs, then every such release of the autoscaler,
// and every proof.
func writeWholeMatrix(out io.Writer, proofs []proof.Record) error {
	w := ui.NewTable(out, "SINCE", "KUBERNETES", "DEFAULT", "AUTOSCALER", "API", "COMPILED BY", "CLUSTERCTL", "KINDS", "NETWORK", "ENGINE API UP TO", "LOAD BALANCER", "NEEDS")
	for _, r := range release.Changes() {
		since := "v" + r.Version.String()
		if r.Newer {
			since = "main"
		}
		w.Row(append(append([]string{since}, facts(r)...),
			words(feature{r.DockerKinds, "Docker*"}, feature{r.DevKinds, "Dev*"}), r.Network, r.MaxEngineAPI, r.LoadBalancer.Image(),
			words(feature{r.RunsDocker, "docker"}, feature{r.AuthProxy, "kube-rbac-proxy"}, feature{r.WebhookDeployments, "webhook Deployments"}))...)
	}
	if err := w.End(); err != nil {
		return err
	}
	fmt.Fprint(out, `
KINDS, NETWORK and LOAD BALANCER are those of the Docker provider, and ENGINE API UP TO is the newest API of the Docker
engine that it speaks. NEEDS is what the lab provides for the release: you need not install it.

`)
	if err := writeAutoscalers(out); err != nil {
		return err
	}
	fmt.Fprintln(out)
	w = ui.NewTable(out, "CLUSTER API", "KUBERNETES", "AUTOSCALER", "BUILT", "GENERATED", "RAN", "SECONDS", "FAILED")
	for _, p := range proofs {
		w.Row(append(append([]string{p.ClusterAPI, p.Kubernetes, p.Autoscaler}, dates(p)...), cmp.Or(p.Seconds.String(), "-"), cmp.Or(p.Failed, "-"))...)
	}
	return w.End()
}

// writeAutoscalers writes every release of the autoscaler that changes a fact.
func writeAutoscalers(out io.Writer) error {
	w := ui.NewTable(out, "AUTOSCALER SINCE", "COMPILED BY", "ANNOTATIONS", "CLUSTER API'S API", "HAS", "DEFECTS")
	for _, a := range release.AutoscalerChanges() {
		api := a.OldestAPI
		if a.NewestAPI != a.OldestAPI {
			api += " to " + a.NewestAPI
		}
		w.Row("v"+a.String(), cmp.Or(a.Toolchain, "today's Go"), a.SizePrefix, api,
			words(feature{a.AutoDiscovery, "auto-discovery"}, feature{a.APIVariable, "CAPI_VERSION"}, feature{a.FromZero, "from zero"},
				feature{a.KnowsEmptyGroups, "labels and taints of empty groups"},
				feature{a.SkipsPaused, "skips paused groups"}, feature{a.TemplateTaints, "taints of templates"}),
			cmp.Or(strings.Join(a.Defects, "; "), "-"))
	}
	return w.End()
}

// feature is a name, and whether a release has the feature.
type feature struct {
	is   bool
	name string
}

// words returns the names of the features that the release has, or a hyphen.
func words(features ...feature) string {
	var names []string
	for _, f := range features {
		if f.is {
			names = append(names, f.name)
		}
	}
	return cmp.Or(strings.Join(names, ", "), "-")
}
