package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// decode reads the YAML of a scenario into s. An error lists every field that is unknown
// or that has a value of a wrong type, with its line and place, and what is allowed there.
func decode(data []byte, s *Scenario) error {
	var document yamlv3.Node
	if err := yamlv3.Unmarshal(data, &document); err != nil {
		return err
	}
	var d decoder
	for _, root := range document.Content {
		d.value("", root, reflect.TypeFor[Scenario]())
	}
	if len(d.errs) > 0 {
		return errors.Join(d.errs...)
	}
	return yaml.UnmarshalStrict(data, s)
}

// decoder compares YAML with Go types and collects the differences, because the errors of
// a JSON decoder have no line and do not say what is allowed.
type decoder struct{ errs []error }

func (d *decoder) refuse(n *yamlv3.Node, place, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if place != "" {
		text = place + ": " + text
	}
	d.errs = append(d.errs, fmt.Errorf("line %d: %s", n.Line, text))
}

// value compares a value with the type that it is read into.
func (d *decoder) value(place string, n *yamlv3.Node, t reflect.Type) {
	for n.Kind == yamlv3.AliasNode {
		n = n.Alias
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Tag == "!!null" || t.Kind() == reflect.Interface:
	case reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
		d.own(place, n, t)
	case t.Kind() == reflect.Struct:
		if d.is(place, n, yamlv3.MappingNode, "fields: "+strings.Join(fieldNames(t), ", ")) {
			d.fields(place, n, t)
		}
	case t.Kind() == reflect.Map:
		d.is(place, n, yamlv3.MappingNode, "keys with values, such as a: b")
	case t.Kind() == reflect.Slice:
		if !d.is(place, n, yamlv3.SequenceNode, "a list") {
			return
		}
		for i, item := range n.Content {
			d.value(fmt.Sprintf("%s[%d]", place, i), item, t.Elem())
		}
	case t.Kind() == reflect.Int:
		if d.is(place, n, yamlv3.ScalarNode, "a number") && n.Tag != "!!int" && n.Tag != "!!float" {
			d.refuse(n, place, "%q: want a number", n.Value)
		}
	case t.Kind() == reflect.Bool:
		if d.is(place, n, yamlv3.ScalarNode, "true or false") && n.Tag != "!!bool" && !slices.Contains([]string{"y", "yes", "on", "n", "no", "off"}, strings.ToLower(n.Value)) {
			d.refuse(n, place, "%q: want true or false", n.Value)
		}
	default:
		d.is(place, n, yamlv3.ScalarNode, "a text")
	}
}

// is refuses a value of another kind.
func (d *decoder) is(place string, n *yamlv3.Node, kind yamlv3.Kind, want string) bool {
	if n.Kind == kind {
		return true
	}
	has := map[yamlv3.Kind]string{yamlv3.MappingNode: "fields", yamlv3.SequenceNode: "a list", yamlv3.ScalarNode: fmt.Sprintf("%q", n.Value)}[n.Kind]
	d.refuse(n, place, "has %s: want %s", has, want)
	return false
}

// own reads a value of a type that decodes itself.
func (d *decoder) own(place string, n *yamlv3.Node, t reflect.Type) {
	var value any
	err := n.Decode(&value)
	if err == nil {
		var data []byte
		if data, err = json.Marshal(value); err == nil {
			err = json.Unmarshal(data, reflect.New(t).Interface())
		}
	}
	if err != nil {
		d.refuse(n, place, "%v", err)
	}
}

// fields compares the keys of a mapping with the fields of a struct.
func (d *decoder) fields(place string, n *yamlv3.Node, t reflect.Type) {
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			continue
		}
		if first := lines[key.Value]; first > 0 {
			d.refuse(key, place, "field %q is already set in line %d", key.Value, first)
			continue
		}
		lines[key.Value] = key.Line
		field, found := fieldNamed(t, key.Value)
		if !found {
			d.refuse(key, place, "unknown field %q: want %s", key.Value, strings.Join(fieldNames(t), ", "))
			continue
		}
		d.value(strings.TrimPrefix(place+"."+key.Value, "."), value, field)
	}
}

// fieldNames returns the names of the fields of a struct in YAML, in the order of the
// struct.
func fieldNames(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// fieldNamed returns the type of a field by its name in YAML, whose case does not matter.
func fieldNamed(t reflect.Type, key string) (reflect.Type, bool) {
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "-" && strings.EqualFold(name, key) {
			return f.Type, true
		}
	}
	return nil, false
}
