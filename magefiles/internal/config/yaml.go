package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// parse reads caslab.yaml and returns its values as strings, by the dotted keys of
// the settings table. Unknown keys, wrong types and broken YAML are errors.
func parse(data []byte) (map[string]string, error) {
	var tree map[string]any
	if err := yaml.UnmarshalStrict(data, &tree); err != nil {
		return nil, fmt.Errorf("not a YAML mapping of settings: %w", err)
	}
	values := map[string]string{}
	var errs []error
	flatten("", tree, func(key string, value any) {
		i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
		if i < 0 && isSection(key) {
			errs = append(errs, fmt.Errorf("%s: %v has the wrong type; want a mapping, such as %s", key, value, member(key)))
			return
		}
		if i < 0 {
			errs = append(errs, fmt.Errorf("unknown key %q; want one of %s%s", key, strings.Join(keys(), ", "), hint(key)))
			return
		}
		s, ok := scalar(settings[i].kind, value)
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %v has the wrong type; want %s", key, value, settings[i].kind))
			return
		}
		values[key] = s
	})
	return values, errors.Join(errs...)
}

// flatten calls leaf with the dotted key of every scalar and list in tree, in the
// order of the keys.
func flatten(prefix string, tree map[string]any, leaf func(string, any)) {
	keys := make([]string, 0, len(tree))
	for k := range tree {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		key := prefix + k
		if sub, ok := tree[k].(map[string]any); ok && isSection(key) {
			flatten(key+".", sub, leaf)
			continue
		}
		leaf(key, tree[k])
	}
}

// keys returns the keys of all settings.
func keys() []string {
	all := make([]string, len(settings))
	for i, s := range settings {
		all[i] = s.key
	}
	return all
}

func isSection(key string) bool {
	return slices.ContainsFunc(settings, func(s setting) bool { return strings.HasPrefix(s.key, key+".") })
}

// member is the first setting of a section.
func member(section string) string {
	i := slices.IndexFunc(settings, func(s setting) bool { return strings.HasPrefix(s.key, section+".") })
	return settings[i].key
}

func scalar(k kind, value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, k == text
	case bool:
		return strconv.FormatBool(v), k == boolean
	case int64:
		return strconv.FormatInt(v, 10), k == integer
	case float64: // every YAML number, because the YAML is converted to JSON
		return strconv.FormatFloat(v, 'f', -1, 64), k == integer && v == float64(int64(v))
	}
	return "", false
}

// hint returns the settings that a mistyped key may mean.
func hint(key string) string {
	var near []string
	last := strings.ToLower(key[strings.LastIndex(key, ".")+1:])
	for _, s := range settings {
		if strings.Contains(strings.ToLower(s.key), last) || strings.EqualFold(s.env, key) {
			near = append(near, s.key)
		}
	}
	if len(near) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(near, " or ") + "?"
}
