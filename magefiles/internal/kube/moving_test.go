package kube_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

// TestServerMoves: a client of a server that moves, and one behind a relay, reach the server
// at its new address.
func TestServerMoves(t *testing.T) {
	t.Parallel()
	before, after := kubetest.New(t, nil, ""), kubetest.New(t, nil, "") // their certificates are the same
	path := before.KubeconfigFile()
	moving, err := kube.OpenMoving(path)
	if err != nil {
		t.Fatal(err)
	}
	relay := kube.Relay{Server: path, Kubeconfig: filepath.Join(t.TempDir(), "kubeconfig", "relayed")}
	stop, err := relay.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	relayed, err := kube.Open(relay.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if there, err := os.Stat(relay.Kubeconfig); err != nil || there.Mode().Perm() != 0o600 {
		t.Errorf("the relay's kubeconfig: %v, %v", there, err)
	}
	clients := map[string]*kube.Client{"moving": moving, "relayed": relayed}
	for name, c := range clients {
		if err := c.Answers(t.Context()); err != nil {
			t.Errorf("%s, before: %v", name, err)
		}
	}
	before.Close()
	if err := kube.WriteKubeconfig(path, after.Kubeconfig("")); err != nil {
		t.Fatal(err)
	}
	for name, c := range clients {
		if err := c.WaitAnswers(t.Context()); err != nil {
			t.Errorf("%s, after: %v", name, err)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := relayed.Answers(t.Context()); err == nil {
		t.Error("it relays after its end")
	}
	if _, err := os.Stat(relay.Kubeconfig); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the relay's kubeconfig after its end: %v", err)
	}
}

// TestRelayOfNothing: a relay that cannot begin leaves nothing.
func TestRelayOfNothing(t *testing.T) {
	t.Parallel()
	relay := kube.Relay{Server: filepath.Join(t.TempDir(), "none"), Kubeconfig: filepath.Join(t.TempDir(), "relayed")}
	if _, err := relay.Start(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Start() = %v", err)
	}
	if _, err := os.Stat(relay.Kubeconfig); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it left %v", err)
	}
}
