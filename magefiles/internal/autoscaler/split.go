package autoscaler

import (
	"fmt"

	"github.com/mattn/go-shellwords"
)

// split splits text into words as a shell does, without expansions.
func split(text string) ([]string, error) {
	parser := shellwords.NewParser()
	words, err := parser.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("a shell would not read it so (%w): close every quote, and put quotes around a value that has a parenthesis or a backquote in it", err)
	}
	if parser.Position >= 0 {
		// The library stops where the shell's next command would begin.
		return nil, fmt.Errorf("a shell would end the command after %q; put quotes around a value that has one of ; & | < > in it", text[:min(parser.Position, len(text))])
	}
	return words, nil
}
