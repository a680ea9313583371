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
	"caslab/magefiles/internal/capi/release"
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

func typeTarget(purpose, target string) advice { return advice{purpose: purpose, target: target} }

func changeSetting(sentence string) advice { return advice{setting: sentence} }

// advices has a rule for each error of the domain that has advice. The domain
// says what was tried and what is allowed; only this table knows commands.
var advices = []func(error, command) (advice, bool){
	forType(func(e *workload.MissingError, _ command) advice {
		if e.Name == workload.DefaultName {
			return typeTarget("create it", "workload:add")
		}
		return typeTarget("create it", "workload:add -name="+shellescape.Quote(e.Name))
	}),
	forType(func(e *capi.TakenError, _ command) advice {
		return typeTarget("change its limits", "nodegroup:set "+shellescape.Quote(e.Name)+" MIN MAX")
	}),
	forType(func(e *capi.MissingGroupError, _ command) advice {
		if len(e.There) > 0 {
			return typeTarget("see the node groups", "nodegroup:list")
		}
		return typeTarget("add it", "nodegroup:add "+shellescape.Quote(e.Name)+" MIN MAX")
	}),
	forType(func(*capi.PrunedError, command) advice {
		return typeTarget("start the controller of hollow machines again, which updates that definition", "hollow:run")
	}),
	forType(func(*autoscaler.UnknownFlagError, command) advice {
		return typeTarget("see where flags come from", "autoscaler:flags -h")
	}),
	forType(func(e *build.CoreError, _ command) advice {
		if errors.Is(e, build.ErrOwnCore) {
			return changeSetting("Unset AUTOSCALER_CORE_DIR, or set AUTOSCALER_DIR to a later tree.")
		}
		return changeSetting("Set AUTOSCALER_CORE_DIR to such a checkout, or unset it.")
	}),
	forType(func(*node.CannotBuildError, command) advice {
		return changeSetting("Or set NODE_IMAGE=registry, with REGISTRY_MIRROR if Docker Hub does not answer.")
	}),
	forType(func(e *node.KubernetesError, _ command) advice {
		return changeSetting("If there is no such release, or the module proxy lacks a part of it, set KUBERNETES_VERSION to another one, such as " + release.NearestTo(e.Version) + ".")
	}),
	forType(func(*node.MissingImageError, command) advice { return typeTarget("build it", "image:node") }),
	forError(timeline.ErrNoRecord, typeTarget("record what happens", "timeline:watch")),
	forType(func(e *results.FailedError, c command) advice {
		again := slices.Concat([]string{"scenario:run", shellescape.Quote(e.Again)}, c.optionsOf("scenario:run"))
		return typeTarget("run one again", strings.Join(again, " "))
	}),
}

// forType returns a rule: next gives the advice for an error of type E.
func forType[E error](next func(E, command) advice) func(error, command) (advice, bool) {
	return func(err error, c command) (advice, bool) {
		var e E
		if !errors.As(err, &e) {
			return advice{}, false
		}
		return next(e, c), true
	}
}

// forError returns a rule: a is the advice for errors that wrap target.
func forError(target error, a advice) func(error, command) (advice, bool) {
	return func(err error, _ command) (advice, bool) { return a, errors.Is(err, target) }
}

// command is what the user typed.
type command struct {
	verb string
	// options as they were typed, without arguments.
	options []string
	// next returns what to type to run a target with the same settings.
	next func(target string) string
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

// addAdvice adds to err what to type next, if there is advice for it.
func addAdvice(err error, c command) error {
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
		next = append(next, fmt.Sprintf("To %s, type: %s", a.purpose, c.next(a.target)))
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
