package autoscaler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Rules are the rules of the autoscaler's two roles, each as a JSON list of RBAC's PolicyRules:
// in the cluster that it scales, and in the one with the Cluster API objects.
type Rules struct{ Workload, Management string }

// examples are the possible paths, in a tree of the autoscaler, of upstream's example deployment
// for the provider clusterapi.
var examples = []string{
	"cluster-autoscaler/cloudprovider/clusterapi/examples/deployment.yaml",
	"cloudprovider/clusterapi/examples/deployment.yaml",
}

// ExampleRules returns the rules that the example deployment in a tree of the autoscaler gives to
// it. dir is the root of the tree, or its folder cluster-autoscaler.
func ExampleRules(dir string) (*Rules, error) {
	for _, path := range examples {
		path := filepath.Join(dir, filepath.FromSlash(path))
		manifest, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the autoscaler's example deployment: %w", err)
		}
		rules, err := readRules(manifest)
		if err != nil {
			return nil, fmt.Errorf("read the autoscaler's example deployment %s: %w", path, err)
		}
		return rules, nil
	}
	return nil, fmt.Errorf("the autoscaler's tree %s has no example deployment: neither %s", dir, strings.Join(examples, " nor "))
}

// readRules returns the rules of the two ClusterRoles of a manifest.
func readRules(manifest []byte) (*Rules, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), len(manifest))
	rules := map[string]string{}
	for {
		var role rbacv1.ClusterRole
		if err := decoder.Decode(&role); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if role.Kind != "ClusterRole" {
			continue
		}
		text, err := json.Marshal(role.Rules)
		if err != nil {
			return nil, err
		}
		rules[role.Name] = string(text)
	}
	found := &Rules{Workload: rules[Component+"-workload"], Management: rules[Component+"-management"]}
	if found.Workload == "" || found.Management == "" {
		return nil, fmt.Errorf("want the ClusterRoles %s-workload and %s-management", Component, Component)
	}
	return found, nil
}
