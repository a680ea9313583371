package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/workload"
)

// advice is what to do after an error: what to type, or what to set.
type advice struct {
	// purpose completes "To …".
	purpose string
	// target is a mage target with its arguments. What the user has to choose
	// is in capitals.
	target string
	// setting is a sentence about environment variables, instead.
	setting string
}

func typing(purpose, target string) advice { return advice{purpose: purpose, target: target} }

func setting(sentence string) advice { return advice{setting: sentence} }

// advices has a rule for each error of the domain that has advice. The domain
// says what was tried and what is allowed; only this table knows commands.
var advices = []func(error, command) (advice, bool){
	after(func(e *workload.MissingError, _ command) advice {
		if e.Name == workload.DefaultName {
			return typing("create it", "workload:add")
		}
		return typing("create it", "workload:add -name="+shellescape.Quote(e.Name))
	}),
	after(func(e *capi.TakenError, _ command) advice {
		return typing("change its limits", "nodegroup:set "+shellescape.Quote(e.Name)+" MIN MAX")
	}),
	after(func(e *capi.MissingGroupError, _ command) advice {
		if len(e.There) > 0 {
			return typing("see the node groups", "nodegroup:list")
		}
		return typing("add it", "nodegroup:add "+shellescape.Quote(e.Name)+" MIN MAX")
	}),
	after(func(*autoscaler.UnknownFlagError, command) advice {
		return typing("see where flags come from", "autoscaler:flags -h")
	}),
	after(func(e *build.CoreError, _ command) advice {
		if errors.Is(e, build.ErrOwnCore) {
			return setting("Unset AUTOSCALER_CORE_DIR, or set AUTOSCALER_DIR to a later tree.")
		}
		return setting("Set AUTOSCALER_CORE_DIR to such a checkout, or unset it.")
	}),
	after(func(*node.CannotBuildError, command) advice {
		return setting("Or set NODE_IMAGE=registry, with REGISTRY_MIRROR if Docker Hub does not answer.")
	}),
	after(func(*node.KubernetesError, command) advice {
		return setting("If there is no such release, or the module proxy lacks a part of it, set KUBERNETES_VERSION to another one.")
	}),
	after(func(*node.MissingImageError, command) advice { return typing("build it", "image:node") }),
	is(timeline.ErrNoRecord, typing("record what happens", "timeline:watch")),
	after(func(e *results.FailedError, c command) advice {
		again := slices.Concat([]string{"scenario:run", shellescape.Quote(e.Again)}, c.optionsOf("scenario:run"))
		return typing("run one again", strings.Join(again, " "))
	}),
}

// after returns a rule: next gives the advice for an error of type E.
func after[E error](next func(E, command) advice) func(error, command) (advice, bool) {
	return func(err error, c command) (advice, bool) {
		var e E
		if !errors.As(err, &e) {
			return advice{}, false
		}
		return next(e, c), true
	}
}

// is returns a rule: a is the advice for errors that wrap target.
func is(target error, a advice) func(error, command) (advice, bool) {
	return func(err error, _ command) (advice, bool) { return a, errors.Is(err, target) }
}

// command is what the user typed.
type command struct {
	verb string
	// options as they were typed, without arguments.
	options []string
	// clusterName is the environment's name if it comes from an environment
	// variable, which the next command may lack; empty otherwise.
	clusterName string
}

// optionsIn returns the options at the beginning of args.
func optionsIn(args []string) []string {
	end := slices.IndexFunc(args, func(a string) bool { return a == "--" || !strings.HasPrefix(a, "-") })
	if end < 0 {
		return args
	}
	return args[:end]
}

// optionsOf returns the options of the command, quoted for a shell, or nil if it
// has another verb.
func (c command) optionsOf(verb string) []string {
	if c.verb != verb {
		return nil
	}
	quoted := make([]string, len(c.options))
	for i, o := range c.options {
		quoted[i] = shellescape.Quote(o)
	}
	return quoted
}

// advisedError is an error with what to type next.
type advisedError struct {
	err  error
	next []string
}

// advised adds to err what to type next, if there is advice for it.
func advised(err error, c command) error {
	if err == nil {
		return nil
	}
	var next []string
	for _, find := range advices {
		a, ok := find(err, c)
		if !ok {
			continue
		}
		if a.setting != "" {
			next = append(next, a.setting)
			continue
		}
		line := fmt.Sprintf("To %s, type: ", a.purpose)
		if c.clusterName != "" {
			line += "CLUSTER_NAME=" + shellescape.Quote(c.clusterName) + " "
		}
		next = append(next, line+"go tool mage "+a.target)
	}
	if len(next) == 0 {
		return err
	}
	return &advisedError{err, next}
}

func (e *advisedError) Error() string {
	return e.err.Error() + "\n" + strings.Join(e.next, "\n")
}

func (e *advisedError) Unwrap() error { return e.err }
