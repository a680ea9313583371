package v1beta2

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"k8s.io/apimachinery/pkg/util/yaml"

	"caslab/components/hollow/chance"
)

// fieldSchema is what these tests read of the schema of a field.
type fieldSchema struct {
	Pattern    string
	MaxLength  int
	Properties map[string]fieldSchema
}

// schemaOf returns the schema of a field of HollowMachine in the committed CRDs.
func schemaOf(t testing.TB, path ...string) fieldSchema {
	t.Helper()
	file, err := os.Open("../../../../../manifests/hollow/crds.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // it is read only
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct{ OpenAPIV3Schema fieldSchema }
			}
		}
	}
	if err := yaml.NewYAMLOrJSONDecoder(file, 4096).Decode(&crd); err != nil {
		t.Fatal(err)
	}
	s := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	for _, name := range path {
		s = s.Properties[name]
	}
	if s.Pattern == "" || s.MaxLength == 0 {
		t.Fatalf("%v has no pattern or no maximum length", path)
	}
	return s
}

func (s fieldSchema) admits(value string) bool {
	return len(value) <= s.MaxLength && regexp.MustCompile(s.Pattern).MatchString(value)
}

func TestEveryDurationIsBounded(t *testing.T) {
	for _, name := range []string{"start", "startJitter", "ready", "readyJitter", "untaint", "lateAfter", "stop"} {
		schemaOf(t, "spec", "lifecycle", name)
	}
	for _, name := range []string{"start", "startJitter"} {
		schemaOf(t, "spec", "pods", name)
	}
}

// FuzzDuration looks for a duration that the API server admits and the controller cannot
// decode: one object that has it would hide all others from an informer.
func FuzzDuration(f *testing.F) {
	field := schemaOf(f, "spec", "lifecycle", "start")
	for _, seed := range []string{"0s", "30s", "1m30s", "500ms", "1.5h", "99999h99999h999h", "-1s", "1", "", "1d", "1h1h", "9.999999999h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !field.admits(text) {
			t.Skip()
		}
		value, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var l Lifecycle
		if err := json.Unmarshal([]byte(`{"start":`+string(value)+`}`), &l); err != nil || l.Start.Duration < 0 {
			t.Errorf("the API server admits %q, which is %v: %v", text, l.Start.Duration, err)
		}
	})
}

// FuzzShare looks for a percentage that the API server admits and nobody can read.
func FuzzShare(f *testing.F) {
	fields := []fieldSchema{schemaOf(f, "spec", "lifecycle", "fail"), schemaOf(f, "spec", "lifecycle", "never"), schemaOf(f, "spec", "pods", "fail")}
	for _, seed := range []string{"0%", "7%", "10%", "100%", "101%", "-1%", "5", "%", "05%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, field := range fields {
			if !field.admits(text) {
				continue
			}
			if share, err := chance.Percent(text); err != nil || share < 0 || share > 1 {
				t.Errorf("the API server admits %q, which is %v: %v", text, share, err)
			}
		}
	})
}
