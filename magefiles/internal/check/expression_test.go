package check_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// expression evaluates the part of GitHub's expressions that the action and the
// workflows use: strings, contexts, the status functions, ! == != && || and
// parentheses. Anything else fails the test.
type expression struct {
	t      *testing.T
	tokens []string
	// lookup returns the value of a context such as steps.up.outcome, and "" for
	// a missing one.
	lookup func(name string) string
	// failed and cancelled are the results of the status functions.
	failed, cancelled bool
	// asked is set if a status function is called. A condition without one means
	// success() as well.
	asked bool
}

var (
	tokenPattern    = regexp.MustCompile(`'[^']*'|[A-Za-z_][A-Za-z0-9_.-]*|==|!=|&&|\|\||[!()]`)
	templatePattern = regexp.MustCompile(`\$\{\{(.*?)\}\}`)
)

// expand replaces every ${{ }} in a text.
func (e expression) expand(text string) string {
	return templatePattern.ReplaceAllStringFunc(text, func(m string) string {
		inner := e
		return fmt.Sprint(inner.evaluate(templatePattern.FindStringSubmatch(m)[1]))
	})
}

// holds returns the value of a step's condition.
func (e expression) holds(condition string) bool {
	if condition == "" {
		return !e.failed && !e.cancelled
	}
	if m := templatePattern.FindStringSubmatch(condition); m != nil {
		condition = m[1]
	}
	v := e.evaluate(condition)
	return truth(v) && (e.asked || !e.failed && !e.cancelled)
}

func (e *expression) evaluate(text string) any {
	e.tokens = tokenPattern.FindAllString(text, -1)
	if rest := strings.TrimSpace(tokenPattern.ReplaceAllString(text, "")); rest != "" {
		e.t.Fatalf("the test cannot evaluate %q: %q is unknown", text, rest)
	}
	v := e.or()
	if len(e.tokens) > 0 {
		e.t.Fatalf("the test cannot evaluate %q: %q is left", text, e.tokens)
	}
	return v
}

func truth(v any) bool { return v != "" && v != false }

func (e *expression) next(want string) bool {
	if len(e.tokens) == 0 || e.tokens[0] != want {
		return false
	}
	e.tokens = e.tokens[1:]
	return true
}

func (e *expression) or() any {
	v := e.and()
	for e.next("||") {
		if right := e.and(); !truth(v) {
			v = right
		}
	}
	return v
}

func (e *expression) and() any {
	v := e.equal()
	for e.next("&&") {
		if right := e.equal(); truth(v) {
			v = right
		}
	}
	return v
}

func (e *expression) equal() any {
	v := e.operand()
	switch {
	case e.next("=="):
		return v == e.operand()
	case e.next("!="):
		return v != e.operand()
	}
	return v
}

func (e *expression) operand() any {
	if e.next("!") {
		return !truth(e.operand())
	}
	if e.next("(") {
		v := e.or()
		if !e.next(")") {
			e.t.Fatal("a parenthesis is not closed")
		}
		return v
	}
	if len(e.tokens) == 0 {
		e.t.Fatal("an expression ends too early")
	}
	token := e.tokens[0]
	e.tokens = e.tokens[1:]
	if strings.HasPrefix(token, "'") {
		return strings.Trim(token, "'")
	}
	if !e.next("(") {
		return e.lookup(token)
	}
	if !e.next(")") {
		e.t.Fatalf("the test knows no function %s with arguments", token)
	}
	e.asked = true
	switch token {
	case "always":
		return true
	case "cancelled":
		return e.cancelled
	case "failure":
		return e.failed && !e.cancelled
	case "success":
		return !e.failed && !e.cancelled
	}
	e.t.Fatalf("the test knows no function %s", token)
	return nil
}
