// Package list reads lists that a person types.
package list

import (
	"fmt"
	"slices"
	"strconv"
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

// Number is a name with a number.
type Number struct {
	Name  string
	Value int
}

// Numbers reads a=4,b=1: different names with whole numbers from lowest to highest, in the order
// of the text.
func Numbers(text string, lowest, highest int) ([]Number, error) {
	parts, err := Split(text)
	if err != nil {
		return nil, err
	}
	var numbers []Number
	for _, part := range parts {
		name, amount, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(amount)
		if strings.TrimSpace(name) == "" || err != nil || n < lowest || n > highest {
			return nil, fmt.Errorf("%q: want a name and a number from %d to %d, such as gpu.example.com=%d", part, lowest, highest, max(lowest, 1))
		}
		if slices.ContainsFunc(numbers, func(o Number) bool { return o.Name == name }) {
			return nil, fmt.Errorf("%s is there twice", name)
		}
		numbers = append(numbers, Number{name, n})
	}
	return numbers, nil
}
