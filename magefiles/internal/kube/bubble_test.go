package kube_test

import (
	"testing"
	"testing/synctest"
)

// bubble runs a test in virtual time.
func bubble(name string, t *testing.T, test func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, test)
	})
}
