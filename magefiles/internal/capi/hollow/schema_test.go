package hollow

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/kube"
)

// definition returns the schema of templates in the definitions that the lab applies.
func definition(t *testing.T) *apiextensionsv1.JSONSchemaProps {
	t.Helper()
	data, err := Definitions()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := kube.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		var d apiextensionsv1.CustomResourceDefinition
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d); err != nil {
			t.Fatal(err)
		}
		if d.Spec.Names.Kind == Templates.Kind {
			if d.Spec.Group != Templates.Group || d.Spec.Versions[0].Name != version {
				t.Errorf("it is defined as %s %s", d.Spec.Group, d.Spec.Versions[0].Name)
			}
			return d.Spec.Versions[0].Schema.OpenAPIV3Schema
		}
	}
	t.Fatalf("there is no definition of %s", Templates.Kind)
	return nil
}

// problems returns why an API server with the schema refuses a value, or drops a part of it.
func problems(s *apiextensionsv1.JSONSchemaProps, value any, path string) []string {
	var all []string
	switch v := value.(type) {
	case map[string]any:
		for key, field := range v {
			property, ok := s.Properties[key]
			switch {
			case ok:
				all = append(all, problems(&property, field, path+"."+key)...)
			case s.AdditionalProperties != nil:
				all = append(all, problems(s.AdditionalProperties.Schema, field, path+"."+key)...)
			default:
				all = append(all, path+"."+key+" is dropped")
			}
		}
	case []any:
		for i, item := range v {
			all = append(all, problems(s.Items.Schema, item, fmt.Sprintf("%s[%d]", path, i))...)
		}
	case string:
		if s.Type != "string" && !s.XIntOrString {
			all = append(all, fmt.Sprintf("%s is %q, want %s", path, v, s.Type))
		}
		if s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(v) || s.MaxLength != nil && int64(len(v)) > *s.MaxLength {
			all = append(all, fmt.Sprintf("%s is %q, want %s of at most %d characters", path, v, s.Pattern, s.MaxLength))
		}
		quoted, _ := json.Marshal(v)
		if len(s.Enum) > 0 && !slices.ContainsFunc(s.Enum, func(e apiextensionsv1.JSON) bool { return string(e.Raw) == string(quoted) }) {
			all = append(all, fmt.Sprintf("%s is %q, want one of %s", path, v, s.Enum))
		}
	case int64:
		if s.Type != "integer" && !s.XIntOrString {
			all = append(all, fmt.Sprintf("%s is %d, want %s", path, v, s.Type))
		}
		if s.Minimum != nil && float64(v) < *s.Minimum || s.Maximum != nil && float64(v) > *s.Maximum {
			all = append(all, fmt.Sprintf("%s is %d, which is out of bounds", path, v))
		}
	case bool:
		if s.Type != "boolean" {
			all = append(all, fmt.Sprintf("%s is %t, want %s", path, v, s.Type))
		}
	default:
		all = append(all, fmt.Sprintf("%s is a %T", path, v))
	}
	return all
}

func TestTemplatesFitTheirDefinition(t *testing.T) {
	t.Parallel()
	schema := definition(t).Properties["spec"]
	extreme := Change{DRA: "a=1,b=128", CSI: "a=0,b=1048576", Behaviour: Behaviour{Start: "24h±24h", Ready: "1ms", Stop: "1h59m59.999s", Fail: "100%", Never: "100000", PodFail: "100%", Seed: "9223372036854775807"}}
	for name, options := range map[string]struct {
		shape  Shape
		change Change
	}{"nothing": {}, "everything": everything, "extremes": {change: extreme}} {
		s, err := New(options.shape, options.change)
		if err != nil {
			t.Fatal(err)
		}
		g, err := s.Group(capi.NodeGroup{Name: "gpu"})
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range problems(&schema, g.Template.Object["spec"], "spec") {
			t.Errorf("%s: %s", name, problem)
		}
	}
}
