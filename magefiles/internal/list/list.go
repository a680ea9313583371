// Package list reads lists that a person types.
package list

import (
	"fmt"
	"strings"
)

// Split returns the parts of a text that commas separate, without the spaces around them. An empty
// text has no parts. It refuses a text with an empty part, such as "a,", because the part may come
// from a variable without a value.
func Split(text string) ([]string, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	parts := strings.Split(text, ",")
	for i, part := range parts {
		if parts[i] = strings.TrimSpace(part); parts[i] == "" {
			return nil, fmt.Errorf("part %d of the list %q is empty", i+1, text)
		}
	}
	return parts, nil
}
