package kubetest

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"k8s.io/client-go/rest"

	"caslab/magefiles/internal/kube"
)

// Config returns a configuration that reaches the server inside the test's process,
// without a network, because network time-outs do not work in a bubble of
// testing/synctest.
func (s *Server) Config() *rest.Config {
	return &rest.Config{Host: "http://kubetest", Dial: s.listener.dial}
}

// Client returns a client of the server, by Config.
func (s *Server) Client() *kube.Client {
	s.t.Helper()
	c, err := kube.ForConfig(s.Config())
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// network is the server on a port of this machine.
type network struct {
	once sync.Once
	*httptest.Server
}

// listen begins to serve on a port of this machine, with TLS.
func (s *Server) listen() *httptest.Server {
	s.network.once.Do(func() {
		server := httptest.NewUnstartedServer(s)
		// Clients whose context ends hang up in the middle of a handshake.
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		s.network.Server = server
		s.t.Cleanup(s.Close)
	})
	return s.network.Server
}

// Port is where the server listens on 127.0.0.1, with TLS.
func (s *Server) Port() string {
	s.t.Helper()
	u, err := url.Parse(s.listen().URL)
	if err != nil {
		s.t.Fatal(err)
	}
	return u.Port()
}

// Close closes the server's port and the connections to it. Clients by Config still
// reach the server.
func (s *Server) Close() {
	s.CutWatches()
	s.listen().CloseClientConnections()
	s.listen().Close()
}

// Kubeconfig returns a kubeconfig that gives host, such as 172.18.0.3:6443, as the
// server's address, or, if host is empty, the address where it listens. Its certificate
// is valid for 127.0.0.1.
func (s *Server) Kubeconfig(host string) []byte {
	s.t.Helper()
	if host == "" {
		host = "127.0.0.1:" + s.Port()
	}
	ca, err := json.Marshal(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.listen().Certificate().Raw})) // base64, as the field wants it
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Config", "current-context": "c",
"clusters": [{"name": "c", "cluster": {"server": "https://%s", "certificate-authority-data": %s}}],
"contexts": [{"name": "c", "context": {"cluster": "c"}}]}`, host, ca)
}

// KubeconfigFile writes Kubeconfig to a file of the test and returns its path.
func (s *Server) KubeconfigFile() string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, s.Kubeconfig(""), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// listener accepts connections from the same process.
type listener struct {
	connections chan net.Conn
	closed      chan struct{}
	close       func()
}

func newListener() *listener {
	l := &listener{connections: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

func (l *listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.connections <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.connections:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error { l.close(); return nil }

func (l *listener) Addr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "pipe" }
func (address) String() string  { return "kubetest" }
