// Package component fetches the sources of Cluster API and of the autoscaler from where
// the settings say.
package component

import (
	"context"
	"fmt"
	"slices"
	"time"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/source"
)

// ClusterAPI returns where the settings' Cluster API comes from.
func ClusterAPI(c *config.Config) source.Spec {
	spec := source.ClusterAPI(c.ClusterAPI.Tag())
	// In v0.3, the Docker provider is a module of its own.
	docker := release.Of(c.ClusterAPI.Version).Layout.DockerModule
	spec.Modules[1] = source.GoModule{Path: spec.RootModule + "/" + docker, Folder: docker}
	return withSettings(spec, c.ClusterAPI)
}

// Autoscaler returns where the settings' autoscaler comes from.
func Autoscaler(c *config.Config) source.Spec {
	return withSettings(source.Autoscaler(c.Autoscaler.Version.String()), c.Autoscaler)
}

func withSettings(spec source.Spec, s config.Source) source.Spec {
	spec.Origin, spec.URL, spec.Path, spec.Commit = s.Origin, s.Git, s.Dir, s.Commit
	return spec
}

// AutoscalerRelease returns the release that decides flags, annotations and API: the
// checkout's own, if its tree names one, otherwise the settings'.
func AutoscalerRelease(c *config.Config) *version.Version {
	if c.Autoscaler.Dir != "" {
		if v := build.AutoscalerVersion(c.Autoscaler.Dir); v != nil {
			return v
		}
	}
	return c.Autoscaler.Version
}

// Doubts returns what is uncertain about the settings' versions, each as one sentence: what
// config.Warnings and AutoscalerDoubts return.
func Doubts(c *config.Config) []string { return slices.Concat(c.Warnings(), AutoscalerDoubts(c)) }

// AutoscalerDoubts returns what is uncertain about the settings' autoscaler, each as one
// sentence: that it is newer than this lab knows, that it cannot drive the settings' Cluster
// API, or that the checkout has another minor release than the settings ask for.
func AutoscalerDoubts(c *config.Config) []string {
	has := AutoscalerRelease(c)
	facts := release.OfAutoscaler(has)
	doubts := slices.Concat(facts.Doubts(), facts.DoubtsWith(release.Of(c.ClusterAPI.Version)))
	want := c.Autoscaler.Version
	if c.AutoscalerVersionSet() && !release.SameMinor(has, want) {
		doubts = append(doubts, fmt.Sprintf("AUTOSCALER_DIR=%s has the autoscaler %s, and the settings ask for %s: the checkout is what runs; unset AUTOSCALER_DIR to run %[3]s",
			c.Autoscaler.Dir, has, want))
	}
	return doubts
}

func options(l *lab.Lab, progress func(string)) source.Options {
	return source.Options{Dir: l.State.Path("src"), Runner: l.Runner, Progress: progress, Warn: l.Log.Printf}
}

// Check finds out whether the tree can be fetched, and says which settings to change
// if not.
func Check(ctx context.Context, l *lab.Lab, s source.Spec) error {
	return advised(source.Check(ctx, s, options(l, nil)))
}

// fetching is the lock of the folder of fetched trees, which environments share.
const fetching = "build.sources"

// Fetch returns a component's tree, and fetches it if it was not fetched before. An error
// says which settings to change.
func Fetch(ctx context.Context, l *lab.Lab, s source.Spec, progress func(string)) (tree *source.Tree, err error) {
	err = l.State.Exclusively(ctx, fetching, progress, func() error {
		tree, err = source.Fetch(ctx, s, options(l, progress))
		return err
	})
	return tree, advised(err)
}

// FetchAll fetches the tree of the component of that name, or those of both if the
// name is empty, and prints where they are.
func FetchAll(ctx context.Context, l *lab.Lab, name string) error {
	specs := []source.Spec{ClusterAPI(l.Config), Autoscaler(l.Config)}
	known := false
	for _, s := range specs {
		if name != "" && name != s.Name {
			continue
		}
		known = true
		step := l.Log.Start("fetch "+s.Name, 10*time.Second)
		tree, err := Fetch(ctx, l, s, step.Progress)
		step.Done("", err)
		if err != nil {
			return err
		}
		fmt.Fprintf(l.Out, "%s\t%s\t%s\n", s.Name, s.Version, describe(tree))
	}
	if !known {
		return fmt.Errorf("unknown component %q; want %s or %s", name, source.ClusterAPIName, source.AutoscalerName)
	}
	return nil
}

func describe(t *source.Tree) string {
	text := t.Origin
	if t.Commit != "" {
		text += " " + t.Commit[:12]
	}
	if t.Dirty {
		text += " with uncommitted changes"
	}
	if t.Why != "" {
		text += " (" + t.Why + ")"
	}
	return text + "\t" + t.Dir
}

// CheckLayout returns an error if the folders of a tree of Cluster API are not those of the release in
// the settings. setting names the setting that chose the tree.
func CheckLayout(c *config.Config, setting, tree string) error {
	want := c.ClusterAPI
	err := build.ClusterAPI{Dir: tree, Version: want.Version}.CheckLayout()
	if err == nil {
		return nil
	}
	its := "its release"
	if based, ok := release.OfTree(tree); ok {
		its += ", such as " + config.Tag(based)
	}
	return fmt.Errorf("%s is not a tree of release %s; set CAPI_VERSION to %s: %w", setting, want.Tag(), its, err)
}
