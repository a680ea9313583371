package render

import (
	"os/exec"
	"testing"
)

// TestLiveScript runs live.js with a small document, which testdata has, where node is
// installed.
func TestLiveScript(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skipf("the script of the live page is not run: %v", err)
	}
	if out, err := exec.CommandContext(t.Context(), node, "testdata/live.test.mjs", "live.js").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
