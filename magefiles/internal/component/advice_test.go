package component

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"caslab/magefiles/internal/source"
)

func TestAdvised(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for _, tc := range []struct {
		err  error
		want string
	}{
		{
			&source.MissingTagError{Component: "cluster-api", Tag: "v1.14.3", URL: "https://host", Nearest: []string{"v1.14.2"}},
			"https://host has no tag v1.14.3; the nearest is v1.14.2\nset CAPI_VERSION to a release that exists",
		},
		{
			&source.MissingTagError{Component: "kubernetes", Tag: "v1.36.99", URL: "the proxy", Nearest: []string{"v1.36.3"}},
			"the proxy has no tag v1.36.99; the nearest is v1.36.3\nset KUBERNETES_VERSION to a release that exists",
		},
		{
			&source.MissingTagError{Component: "cluster-api", Tag: "v1.7.99", URL: "the proxy", Err: refused},
			"the proxy has no tag v1.7.99 (refused)\nset CAPI_VERSION to a release that it has, set CAPI_GIT to a repository that has the tag, or type: export CAPI_DIR=/path/to/your/checkout",
		},
		{
			&source.MissingTagError{Component: "kubernetes", Tag: "v1.36.99", URL: "the proxy", Nearest: []string{"v1.36.3"}, Err: refused},
			"the proxy has no tag v1.36.99 (refused); the nearest is v1.36.3\nset KUBERNETES_VERSION to a release that exists",
		},
		{
			&source.ModuleError{Component: "cluster-api", Module: "m@v1.7.9", Err: refused},
			"ask the Go module proxy for m@v1.7.9: refused\ncheck GOPROXY and GOSUMDB, set CAPI_GIT to a repository that answers, or type: export CAPI_DIR=/path/to/your/checkout",
		},
		{&source.ModuleError{Component: "kubernetes", Module: "m@v1.36.1", Err: refused}, "ask the Go module proxy for m@v1.36.1: refused"},
		{&source.MissingTagError{Component: "cluster-api", Tag: "main", URL: "https://host"}, "https://host has no tag main"},
		{
			&source.MovedTagError{Tag: "v1.14.2", URL: "https://host", Was: "one", Is: "two", Dir: "/my lab/src/x", Record: "/my lab/src/x.json"},
			"the tag v1.14.2 of https://host moved: it was commit one when it was fetched and is two now\nif you trust that, type: rm -r '/my lab/src/x' '/my lab/src/x.json'",
		},
		{
			&source.GitError{Component: "cluster-api", Doing: "list the tags of", URL: "https://host", InModules: true, Err: refused},
			"list the tags of https://host: refused\ncheck CAPI_GIT, set CAPI_SOURCE=module, or type: export CAPI_DIR=/path/to/your/checkout",
		},
		{
			&source.GitError{Component: "autoscaler", Doing: "clone x of", URL: "https://host", Err: refused},
			"clone x of https://host: refused\ncheck AUTOSCALER_GIT, or type: export AUTOSCALER_DIR=/path/to/your/checkout",
		},
		{
			&source.NoModuleError{Component: "autoscaler"},
			"AUTOSCALER_SOURCE=module: autoscaler is not on the Go module proxy; its releases are only in git; set AUTOSCALER_SOURCE=git, or type: export AUTOSCALER_DIR=/path/to/your/checkout",
		},
		{
			&source.CheckoutError{Component: "autoscaler", Dir: "/mine", Problem: "not a folder"},
			"AUTOSCALER_DIR=/mine: not a folder; want the root of a checkout of autoscaler",
		},
		{
			&source.GitError{Component: "autoscaler", Doing: "clone x of", URL: "https://host", Err: context.Canceled},
			"clone x of https://host: context canceled",
		},
		{fmt.Errorf("interrupted: %w", context.Canceled), "interrupted: context canceled"},
		{refused, "refused"},
	} {
		got := advised(tc.err)
		if got.Error() != tc.want || !errors.Is(got, tc.err) {
			t.Errorf("advised(%v) =\n%v\nwant\n%s", tc.err, got, tc.want)
		}
	}
	if err := advised(nil); err != nil {
		t.Errorf("advised(nil) = %v", err)
	}
}
