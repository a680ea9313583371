package capi

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// trees is a folder with trees of Cluster API, named by their tags or mainCommit. If it is
// given, TestManifestsFitTheirReleases writes their schemas in testdata anew.
var trees = flag.String("trees", "", "folder of trees of Cluster API, to record the schemas anew")

// mainCommit is a commit of the main branch, of August 2026: after v1.14 branched off, and
// after the Docker provider lost DockerCluster, DockerMachine and their templates.
const mainCommit = "main-ae7ff047db49"

// roots are the folders of a tree that have CustomResourceDefinitions.
var roots = []string{"config", "core/config", "bootstrap/kubeadm/config", "controlplane/kubeadm/config", "test/infrastructure/docker/config"}

// crdSchema has the parts of a field's JSON schema that the test checks.
type crdSchema struct {
	Type                 string                `json:"type,omitempty"`
	Properties           map[string]*crdSchema `json:"properties,omitempty"`
	AdditionalProperties *crdSchema            `json:"additionalProperties,omitempty"`
	Items                *crdSchema            `json:"items,omitempty"`
	Required             []string              `json:"required,omitempty"`
	Enum                 []any                 `json:"enum,omitempty"`
}

// TestManifestsFitTheirReleases compares the generated objects with the schemas
// in the releases' own CustomResourceDefinitions. An API server silently drops a
// field that its release does not have. testdata/schemas has the parts of the
// schemas that the objects use.
func TestManifestsFitTheirReleases(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{
		"v0.3.5", "v0.3.25", "v0.4.0", "v0.4.8", "v1.0.5", "v1.1.6", "v1.2.12", "v1.3.10", "v1.4.9", "v1.5.8", "v1.6.8", "v1.7.9", "v1.8.12", "v1.9.11",
		"v1.10.10", "v1.11.11", "v1.12.11", "v1.13.5", "v1.14.2", mainCommit,
	} {
		based := strings.TrimPrefix(tag, "v")
		if tag == mainCommit {
			based = "1.15.0-alpha.0"
		}
		c := example()
		c.Release, c.Cgroupfs = releaseOf(based), true
		objects := objectsOf(t, c)
		path := filepath.Join("testdata", "schemas", tag+".yaml")
		if tree := filepath.Join(*trees, tag); *trees != "" && isFolder(tree) {
			record(t, tree, path, objects)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var schemas map[string]*crdSchema
		if err := yaml.UnmarshalStrict(data, &schemas); err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if o.GetKind() == "ConfigMap" || o.Object["spec"] == nil {
				continue
			}
			s := schemas[o.GetAPIVersion()+" "+o.GetKind()]
			if s == nil {
				t.Errorf("%s has no %s %s", tag, o.GetAPIVersion(), o.GetKind())
				continue
			}
			for _, problem := range s.problems(o.Object["spec"], "spec") {
				t.Errorf("%s, %s %s: %s", tag, o.GetKind(), o.GetName(), problem)
			}
		}
	}
}

// problems returns a description of each part of value that the schema does not
// allow.
func (s *crdSchema) problems(value any, at string) []string {
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, value) {
		return []string{fmt.Sprintf("%s is %v, want one of %v", at, value, s.Enum)}
	}
	var all []string
	switch v := value.(type) {
	case map[string]any:
		if s.Type != "object" {
			return []string{fmt.Sprintf("%s is a mapping, want the type %s", at, s.Type)}
		}
		for key, field := range v {
			inner := s.Properties[key]
			if inner == nil {
				inner = s.AdditionalProperties
			}
			if inner == nil {
				all = append(all, fmt.Sprintf("%s has no field %s", at, key))
				continue
			}
			all = append(all, inner.problems(field, at+"."+key)...)
		}
		for _, key := range s.Required {
			if _, ok := v[key]; !ok {
				all = append(all, fmt.Sprintf("%s lacks the field %s", at, key))
			}
		}
	case []any:
		if s.Type != "array" {
			return []string{fmt.Sprintf("%s is a list, want the type %s", at, s.Type)}
		}
		for i, item := range v {
			all = append(all, s.Items.problems(item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	default:
		if want := map[string]string{"string": "string", "bool": "boolean", "int64": "integer", "float64": "integer"}[fmt.Sprintf("%T", value)]; s.Type != want {
			return []string{fmt.Sprintf("%s is %v, want the type %s", at, value, s.Type)}
		}
	}
	return all
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// record writes the parts of a tree's schemas that the objects use.
func record(t *testing.T, tree, path string, objects []*unstructured.Unstructured) {
	t.Helper()
	all := map[string]*crdSchema{}
	for _, root := range roots {
		dir := filepath.Join(tree, root, "crd", "bases")
		if !isFolder(dir) {
			continue // the core provider moved
		}
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			var crd apiextensionsv1.CustomResourceDefinition
			if err := yaml.Unmarshal(data, &crd); err != nil {
				return err
			}
			for _, v := range crd.Spec.Versions {
				if v.Schema == nil { // v1beta1 of CustomResourceDefinition
					return fmt.Errorf("%s: no schema", name)
				}
				spec := v.Schema.OpenAPIV3Schema.Properties["spec"]
				data, err := yaml.Marshal(spec)
				if err != nil {
					return err
				}
				s := new(crdSchema)
				if err := yaml.Unmarshal(data, s); err != nil {
					return err
				}
				all[crd.Spec.Group+"/"+v.Name+" "+crd.Spec.Names.Kind] = s
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	used := map[string]*crdSchema{}
	for _, o := range objects {
		name := o.GetAPIVersion() + " " + o.GetKind()
		if s := all[name]; s != nil && o.Object["spec"] != nil {
			if used[name] == nil {
				used[name] = new(crdSchema)
			}
			used[name].take(s, o.Object["spec"])
		}
	}
	data, err := yaml.Marshal(used)
	if err != nil {
		t.Fatal(err)
	}
	header := "# The parts of " + strings.TrimSuffix(filepath.Base(path), ".yaml") + "'s CustomResourceDefinitions that the lab's objects use; recorded by TestManifestsFitTheirReleases.\n"
	if err := os.WriteFile(path, append([]byte(header), bytes.TrimSpace(append(data, '\n'))...), 0o644); err != nil {
		t.Fatal(err)
	}
}

// take adds to s the parts of from that value uses.
func (s *crdSchema) take(from *crdSchema, value any) {
	s.Type, s.Required, s.Enum = from.Type, from.Required, from.Enum
	switch v := value.(type) {
	case map[string]any:
		if from.AdditionalProperties != nil {
			s.AdditionalProperties = from.AdditionalProperties
		}
		for key, field := range v {
			inner := from.Properties[key]
			if inner == nil {
				continue
			}
			if s.Properties == nil {
				s.Properties = map[string]*crdSchema{}
			}
			if s.Properties[key] == nil {
				s.Properties[key] = new(crdSchema)
			}
			s.Properties[key].take(inner, field)
		}
	case []any:
		if s.Items == nil {
			s.Items = new(crdSchema)
		}
		for _, item := range v {
			s.Items.take(from.Items, item)
		}
	}
}
