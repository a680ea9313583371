package timelines

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/predicates"
)

// workPredicates is the lock for compiling the program that has the scheduler's filters.
const workPredicates = "build.predicates"

// scheduler returns a function that asks the scheduler's filters. Its first call compiles the
// program that has them, unless that is up to date. Only answers about affinity to pods, topology
// spread and volumes need the program, so no other command waits for the compiler.
func (t *Timelines) scheduler() fit.Scheduler {
	var once sync.Once
	var binary string
	var failure error
	return func(ctx context.Context, r predicates.Request) (predicates.Answer, error) {
		once.Do(func() { binary, failure = t.compilePredicates(ctx) })
		if failure != nil {
			return predicates.Answer{}, failure
		}
		return predicates.Ask(ctx, t.Runner, binary, r)
	}
}

// compilePredicates compiles the program and returns its path.
func (t *Timelines) compilePredicates(ctx context.Context) (string, error) {
	request := build.Request{
		Dir: filepath.Join(t.Config.Root, "magefiles", "components", "predicates"), Packages: []string{"."},
		Output: t.State.Path("bin", "predicates", "predicates"), Arch: runtime.GOARCH, Host: true,
	}
	id, err := sourcesID(request.Dir)
	if err != nil {
		return "", fmt.Errorf("compile the scheduler's filters: %w", err)
	}
	request.ID = id
	if build.UpToDate(ctx, request, build.Options{Runner: t.Runner}) {
		return request.Output, nil
	}
	step := t.Log.Start("compile the scheduler's filters", 2*time.Minute)
	err = t.State.Exclusively(ctx, workPredicates, step.Progress, func() error {
		_, err := build.Build(ctx, request, build.Options{Runner: t.Runner, Progress: step.Progress, Warn: t.Log.Printf})
		return err
	})
	step.Done("", err)
	if err != nil {
		return "", fmt.Errorf("compile the scheduler's filters: %w", err)
	}
	return request.Output, nil
}

// sourcesID returns a digest of what a program is compiled from: the files in its folder, except
// tests.
func sourcesID(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && !strings.HasSuffix(e.Name(), "_test.go") {
			names = append(names, e.Name())
		}
	}
	return build.FilesID(dir, names...)
}
