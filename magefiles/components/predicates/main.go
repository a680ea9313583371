// Command predicates asks the filters of the default scheduler on which nodes pods fit, and why
// they do not fit on the others. It reads a Request as JSON from its input and writes an Answer to
// its output.
//
// It is a separate program, and not a package of the lab's command, because it needs 226 more
// packages than that command, and because k8s.io/kubernetes needs a replace directive for each of
// its 33 staging modules. The program has 36 MB.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run answers one request. An unknown field of the request is an error, and one of a recorded object
// is left out.
func run(ctx context.Context, in io.Reader, out io.Writer) error {
	var r Request
	d := json.NewDecoder(in)
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	answer, err := judge(ctx, r)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(answer); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}
