package scenario

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Count is a condition on a number: 3, or a string such as ">= 1", "<= 2" or
// "<= ${nodes+2}", where nodes is how many nodes the cluster had before the first
// step.
type Count struct {
	op string // "<=", ">=", or empty for equal
	n  int
	// relative adds the number of nodes to n.
	relative bool
}

var countText = regexp.MustCompile(`^\s*(<=|>=|=)?\s*(?:(\d+)|\$\{nodes(?:([+-]\d+))?\})\s*$`)

// UnmarshalJSON implements json.Unmarshaler.
func (c *Count) UnmarshalJSON(data []byte) error {
	text := string(data)
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	}
	m := countText.FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf(`%s: want a number, or a text such as ">= 1", "<= 3" or "<= ${nodes+2}"`, data)
	}
	*c = Count{op: m[1]}
	if c.op == "=" {
		c.op = ""
	}
	number := m[2]
	if number == "" {
		c.relative, number = true, m[3]
	}
	if number == "" {
		return nil // ${nodes}
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("%s: %w", data, err)
	}
	c.n = n
	return nil
}

// MarshalJSON implements json.Marshaler.
func (c Count) MarshalJSON() ([]byte, error) {
	if c.op == "" && !c.relative {
		return json.Marshal(c.n)
	}
	text := strconv.Itoa(c.n)
	switch {
	case c.relative && c.n == 0:
		text = "${nodes}"
	case c.relative:
		text = fmt.Sprintf("${nodes%+d}", c.n)
	}
	return json.Marshal(strings.TrimSpace(c.op + " " + text))
}

// Holds reports whether n meets the condition. nodes is how many nodes the cluster
// had before the first step.
func (c Count) Holds(n, nodes int) bool {
	switch want := c.number(nodes); c.op {
	case "<=":
		return n <= want
	case ">=":
		return n >= want
	default:
		return n == want
	}
}

func (c Count) number(nodes int) int {
	if c.relative {
		return nodes + c.n
	}
	return c.n
}

// String returns the condition in words. ${nodes} counts as zero.
func (c Count) String() string { return c.Text(0) }

// Text returns the condition in words. nodes is how many nodes the cluster had
// before the first step.
func (c Count) Text(nodes int) string {
	text := strconv.Itoa(c.number(nodes))
	switch c.op {
	case "<=":
		return "at most " + text
	case ">=":
		return "at least " + text
	}
	return text
}

// Duration is a time.Duration that is written as 45s or 2m.
type Duration time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("%s: want a text such as 45s or 2m", data)
	}
	parsed, err := time.ParseDuration(text)
	if err != nil || parsed < 0 {
		return fmt.Errorf("%q: want a duration such as 45s or 2m", text)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }
