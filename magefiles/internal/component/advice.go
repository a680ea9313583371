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
	const dir = "type: export %s_DIR=/path/to/your/checkout"
	switch {
	case errors.As(err, &moved):
		return fmt.Errorf("%w\nif you trust that, type: rm -r %s %s", err, shellescape.Quote(moved.Dir), shellescape.Quote(moved.Record))
	case errors.As(err, &missing) && missing.Component == source.ClusterAPIName && missing.Err != nil:
		return fmt.Errorf("%w\nset CAPI_VERSION to a release that it has, set CAPI_GIT to a repository that has the tag, or "+dir, err, "CAPI")
	case errors.As(err, &module) && module.Component == source.ClusterAPIName:
		return fmt.Errorf("%w\ncheck GOPROXY and GOSUMDB, set CAPI_GIT to a repository that answers, or "+dir, err, "CAPI")
	case errors.As(err, &missing) && len(missing.Nearest) > 0:
		return fmt.Errorf("%w\nset %s_VERSION to a release that exists", err, settingsOf[missing.Component])
	case errors.As(err, &failed) && failed.InModules:
		p := settingsOf[failed.Component]
		return fmt.Errorf("%w\ncheck %s_GIT, set %s_SOURCE=module, or "+dir, err, p, p, p)
	case errors.As(err, &failed):
		p := settingsOf[failed.Component]
		return fmt.Errorf("%w\ncheck %s_GIT, or "+dir, err, p, p)
	case errors.As(err, &noModule):
		p := settingsOf[noModule.Component]
		return fmt.Errorf("%s_SOURCE=module: %w; set %s_SOURCE=git, or "+dir, p, err, p, p)
	case errors.As(err, &checkout):
		return fmt.Errorf("%s_DIR=%w", settingsOf[checkout.Component], err)
	}
	return err
}
