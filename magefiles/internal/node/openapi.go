package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/run"
)

const (
	openAPIGenerator = "k8s.io/kube-openapi/cmd/openapi-gen"
	openAPIPackage   = kubernetes + "/pkg/generated/openapi"
	openAPIFile      = "zz_generated.openapi"
	// openAPITag marks a package whose types have OpenAPI definitions.
	openAPITag = "+k8s:openapi-gen="
)

// notDefined are modules with marked packages that are not part of Kubernetes' API.
var notDefined = []string{"code-generator", "sample-apiserver", "kube-openapi", "gengo"}

// generateOpenAPI writes the package pkg/generated/openapi of Kubernetes into the folder
// vendor of dir, with the generator that is vendored there. kube-apiserver does not compile
// without it, and modules before v1.24 lack it.
func generateOpenAPI(ctx context.Context, o Options, toolchain, dir string) error {
	// The generator does not support modules. It reads a GOPATH.
	gopath := filepath.Join(dir, "gopath")
	src := filepath.Join(gopath, "src")
	if err := errors.Join(os.MkdirAll(gopath, 0o755), os.Symlink(filepath.Join(dir, "vendor"), src)); err != nil {
		return err
	}
	packages, err := markedPackages(filepath.Join(dir, "vendor"))
	if err != nil {
		return err
	}
	generator := filepath.Join(dir, "openapi-gen")
	_, err = build.Build(ctx, build.Request{
		Dir: dir, Packages: []string{openAPIGenerator}, Output: generator, Arch: runtime.GOARCH, Host: true, Toolchain: toolchain, Vendor: true,
	}, build.Options{Runner: o.Runner})
	if err != nil {
		return err
	}
	goroot, err := build.GoRoot(ctx, toolchain, build.Options{Runner: o.Runner})
	if err != nil {
		return err
	}
	header := filepath.Join(gopath, "header")
	if err := os.WriteFile(header, nil, 0o600); err != nil {
		return err
	}
	_, err = o.Runner.Run(ctx, run.Cmd{
		Name: generator,
		Args: []string{
			"-i", strings.Join(packages, ","), "-p", openAPIPackage, "-O", openAPIFile, "--output-base", src,
			"-h", header, "-r", filepath.Join(gopath, "report"),
		},
		Dir: src,
		Env: []string{"GOTOOLCHAIN=" + toolchain, "GOENV=off", "GOFLAGS=", "GOWORK=off", "GO111MODULE=off", "GOPATH=" + gopath, "GOROOT=" + goroot, "CGO_ENABLED=0"},
	})
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(src, filepath.FromSlash(openAPIPackage), openAPIFile+".go")); err != nil {
		return fmt.Errorf("the generator wrote no file: %w", err)
	}
	return nil
}

// markedPackages returns the import paths of the packages in a folder vendor whose types
// have OpenAPI definitions.
func markedPackages(vendor string) ([]string, error) {
	var packages []string
	err := filepath.WalkDir(filepath.Join(vendor, "k8s.io"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		at, err := filepath.Rel(vendor, path)
		if err != nil {
			return err
		}
		at = filepath.ToSlash(at)
		if d.IsDir() {
			if name, below := strings.CutPrefix(at, "k8s.io/"); below && slices.Contains(notDefined, name) {
				return filepath.SkipDir
			}
			return nil
		}
		pkg := strings.TrimSuffix(at, "/"+d.Name())
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || slices.Contains(packages, pkg) {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(data) {
			if text, comment := strings.CutPrefix(strings.TrimSpace(string(line)), "//"); comment && strings.HasPrefix(strings.TrimSpace(text), openAPITag) {
				packages = append(packages, pkg)
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the vendored packages: %w", err)
	}
	slices.Sort(packages)
	return packages, nil
}
