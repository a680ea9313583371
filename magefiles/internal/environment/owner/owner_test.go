package owner

import (
	"strings"
	"testing"
)

func TestCommandsNameTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		&ForeignError{Environment: "two", Cluster: "two-management", Mark: "/x/.caslab/owner/m"},
		&ForeignError{Environment: "two", Cluster: "two-management", Mark: "/x/.caslab/owner/m", Lost: true},
	} {
		if want := "CLUSTER_NAME=two go tool mage env:down"; !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s in it", err, want)
		}
	}
}
