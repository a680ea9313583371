package repository

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// MisfitError is returned for a tree whose CustomResourceDefinitions lack a kind or a field
// of Options.Objects.
type MisfitError struct {
	Tree string
	// Missing are the kinds and fields, such as "DevCluster of
	// infrastructure.cluster.x-k8s.io/v1beta2" and "spec.paused of Cluster".
	Missing []string
}

func (e *MisfitError) Error() string {
	return fmt.Sprintf("the providers of %s do not have %s", e.Tree, strings.Join(e.Missing, ", "))
}

// definitions has the schemas of the custom resources that the providers serve.
type definitions map[schema.GroupVersionKind]*structural.Structural

// add adds the CustomResourceDefinitions among the objects.
func (d definitions) add(objects []map[string]any) error {
	for _, object := range objects {
		if kind(object) != "CustomResourceDefinition" {
			continue
		}
		data, err := yaml.Marshal(object)
		if err != nil {
			return fmt.Errorf("read a definition: %w", err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(data, &crd); err != nil {
			return fmt.Errorf("read a definition: %w", err)
		}
		for _, v := range crd.Spec.Versions {
			if !v.Served || v.Schema == nil {
				continue
			}
			var internal apiextensions.JSONSchemaProps
			if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, &internal, nil); err != nil {
				return fmt.Errorf("read the definition %s: %w", crd.Name, err)
			}
			s, err := structural.NewStructural(&internal)
			if err != nil {
				return fmt.Errorf("read the definition %s: %w", crd.Name, err)
			}
			d[schema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind}] = s
		}
	}
	return nil
}

// missing returns the kinds and fields of the objects that the definitions do not have,
// each once. Objects of the core API are skipped.
func (d definitions) missing(objects []*unstructured.Unstructured) []string {
	var all []string
	for _, o := range objects {
		gvk := o.GroupVersionKind()
		s := d[gvk]
		switch {
		case gvk.Group == "":
		case s == nil:
			all = append(all, fmt.Sprintf("%s of %s", gvk.Kind, gvk.GroupVersion()))
		default:
			o := o.DeepCopy() // pruning removes what it finds
			options := structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
			for _, path := range pruning.PruneWithOptions(o.Object, s, true, options) {
				all = append(all, fmt.Sprintf("%s of %s", path, gvk.Kind))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
