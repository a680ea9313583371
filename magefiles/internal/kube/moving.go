package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"caslab/magefiles/internal/state"

	"k8s.io/client-go/tools/clientcmd"
)

// OpenMoving returns a client as Open does, for an API server that may get another address:
// each new connection goes to the address that the kubeconfig has at that time. The server
// and its certificate stay the same.
func OpenMoving(path string) (*Client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig %s: %w", path, err)
	}
	config.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialServer(ctx, path) }
	c, err := ForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", path, err)
	}
	return c, nil
}

// dialTimeout is how long a connection may take to be made, as in client-go.
const dialTimeout = 30 * time.Second

// dialServer connects to the API server of the kubeconfig at path.
func dialServer(ctx context.Context, path string) (net.Conn, error) {
	kubeconfig, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("look for the address of the API server: %w", err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	u, err := url.Parse(config.Host)
	if err != nil {
		return nil, fmt.Errorf("read the address of the API server: %w", err)
	}
	return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", u.Host)
}

// Relay is an address on this machine that leads to an API server that may get another
// address, for a program that reads its kubeconfig only once.
type Relay struct {
	// Server is the path of the kubeconfig with the current address of the API server.
	Server string
	// Kubeconfig is the path of the kubeconfig with the address of the relay. It exists
	// while the relay runs.
	Kubeconfig string
}

// Start writes Kubeconfig and forwards connections until stop is called. While the API
// server cannot be reached, the relay closes each connection at once.
func (r Relay) Start(ctx context.Context) (stop func() error, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("relay connections to the API server: %w", err)
	}
	if err := r.write("https://" + listener.Addr().String()); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // stop closes the listener
			}
			all.Go(func() { r.forward(ctx, client) })
		}
	})
	return func() error {
		err := listener.Close()
		cancel()
		all.Wait()
		return errors.Join(err, state.Remove(r.Kubeconfig))
	}, nil
}

func (r Relay) write(address string) error {
	kubeconfig, err := os.ReadFile(r.Server)
	if err != nil {
		return fmt.Errorf("relay connections to the API server: %w", err)
	}
	if kubeconfig, err = WithServer(kubeconfig, address); err != nil {
		return err
	}
	return WriteKubeconfig(r.Kubeconfig, kubeconfig)
}

// forward connects a client to the API server until one of the two closes its connection,
// or ctx is done.
func (r Relay) forward(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := dialServer(ctx, r.Server)
	if err != nil {
		return // the client tries again
	}
	closeBoth := func() { _, _ = client.Close(), server.Close() }
	defer context.AfterFunc(ctx, closeBoth)()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			closeBoth()
		})
	}
	both.Wait()
}
