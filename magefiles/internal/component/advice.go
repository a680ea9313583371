package component

import (
	"context"
	"errors"
	"fmt"

	"al.essio.dev/pkg/shellescape"

	"caslab/magefiles/internal/source"
)

// settingsOf has the prefix of a component's variables by the component's name.
var settingsOf = map[string]string{source.ClusterAPIName: "CAPI", source.AutoscalerName: "AUTOSCALER", source.KubernetesName: "KUBERNETES"}

// AdvisedError is an error of package source with what to do about it.
type AdvisedError struct {
	Err error
	// Advice says which settings to change or what to type.
	Advice string
}

func (e *AdvisedError) Error() string { return e.Err.Error() + "\n" + e.Advice }

// Unwrap returns the error of package source.
func (e *AdvisedError) Unwrap() error { return e.Err }

// advised adds to an error of package source which settings to change or what to type.
func advised(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	var (
		missing  *source.MissingTagError
		moved    *source.MovedTagError
		failed   *source.GitError
		module   *source.ModuleError
		noModule *source.NoModuleError
		checkout *source.CheckoutError
	)
	dir := func(prefix string) string { return "type: export " + prefix + "_DIR=/path/to/your/checkout" }
	advice := func(format string, args ...any) error { return &AdvisedError{err, fmt.Sprintf(format, args...)} }
	switch {
	case errors.As(err, &moved):
		return advice("if you trust that, type: rm -r %s %s", shellescape.Quote(moved.Dir), shellescape.Quote(moved.Record))
	case errors.As(err, &missing) && missing.Component == source.ClusterAPIName && missing.Err != nil:
		return advice("set CAPI_VERSION to a release that it has, set CAPI_GIT to a repository that has the tag, or %s", dir("CAPI"))
	case errors.As(err, &module) && module.Component == source.ClusterAPIName:
		return advice("check GOPROXY and GOSUMDB, set CAPI_GIT to a repository that answers, or %s", dir("CAPI"))
	case errors.As(err, &missing) && len(missing.Nearest) > 0:
		return advice("set %s_VERSION to a release that exists", settingsOf[missing.Component])
	case errors.As(err, &failed) && failed.InModules:
		p := settingsOf[failed.Component]
		return advice("check %s_GIT, set %[1]s_SOURCE=module, or %s", p, dir(p))
	case errors.As(err, &failed):
		p := settingsOf[failed.Component]
		return advice("check %s_GIT, or %s", p, dir(p))
	case errors.As(err, &noModule):
		p := settingsOf[noModule.Component]
		return fmt.Errorf("%s_SOURCE=module: %w; set %[1]s_SOURCE=git, or %[3]s", p, err, dir(p))
	case errors.As(err, &checkout):
		return fmt.Errorf("%s_DIR=%w", settingsOf[checkout.Component], err)
	}
	return err
}
