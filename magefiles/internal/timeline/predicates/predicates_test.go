package predicates

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/run/runtest"
)

// TestRequest: this package writes the request that a test of the program reads. It has all fields.
func TestRequest(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "components", "predicates", "testdata", "request.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r Request
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	for i, v := 0, reflect.ValueOf(r); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("the request of the test has no %s", v.Type().Field(i).Name)
		}
	}
	written, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	if err := errors.Join(json.Unmarshal(data, &want), json.Unmarshal(written, &got)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("wrote\n%s\nwant\n%s", written, data)
	}
}

// TestReasons: the words are for the reasons that a test of the program gets from the filters.
func TestReasons(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "components", "predicates", "testdata", "reasons.json"))
	var want []string
	if err := errors.Join(err, json.Unmarshal(data, &want)); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(words)); !slices.Equal(got, want) {
		t.Errorf("there are words for\n%s\nand the program's list has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer runtest.Answer
		want   string // of the error
	}{
		"an answer":              {runtest.Answer{Stdout: `{"version":"v1.36.1","pods":[{"n":[{"plugin":"NodeName","reasons":["x"]}]}]}`}, ""},
		"the program fails":      {runtest.Answer{Stderr: "read the request: x", Err: errors.New("exit status 1")}, "ask the scheduler's filters: exit status 1: read the request: x"},
		"it says something else": {runtest.Answer{Stdout: "hello"}, "read the answer of the scheduler's filters: invalid character"},
		"of other pods":          {runtest.Answer{Stdout: `{"pods":[]}`}, "read the answer of the scheduler's filters: it is about 0 pods, but the request is about 1"},
	} {
		tc.answer.Prefix = "/bin/predicates"
		fake := &runtest.Fake{Answers: []runtest.Answer{tc.answer}}
		answer, err := Ask(t.Context(), fake, "/bin/predicates", Request{Ask: make([]corev1.Pod, 1)})
		switch {
		case tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want)):
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		case tc.want == "" && (err != nil || answer.Version != "v1.36.1" || answer.Pods[0]["n"][0].Plugin != "NodeName"):
			t.Errorf("%s: %+v, %v", name, answer, err)
		}
	}
}
