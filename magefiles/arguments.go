//go:build mage

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"caslab/magefiles/internal/launch"
)

// init runs before mage looks at the arguments. It gives
// options one dash, refuses arguments that mage
// would refuse without naming an example, and prints the usage of a target that
// is followed by -h, which mage does not know there.
func init() {
	if len(os.Args) > 1 {
		os.Args = append(os.Args[:1:1], launch.OneDash(os.Args[1:])...)
	}
	words := os.Args[1:]
	if launch.WantsHelp(words) {
		verb, err := launch.HelpVerb(words[0])
		if err != nil {
			exit(2, err)
		}
		exit(1, launch.Lab(context.Background(), verb, "-h"))
	}
	if err := errors.Join(launch.CheckArguments(words), launch.CheckTarget(words)); err != nil {
		exit(2, err)
	}
}

func exit(status int, err error) {
	fmt.Fprintln(os.Stderr, "Error:", err)
	os.Exit(status)
}
