// Package traffic counts what a program requests from an API server. The program reaches the
// server through a proxy on this machine, so that its release does not matter.
package traffic

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/state"
)

// Count is how often something was requested, and what it cost.
type Count struct {
	// Requests that were answered; Failed are those with a status of 400 or more.
	Requests int `json:"requests"`
	Failed   int `json:"failed,omitempty"`
	// Sent and Received are the bytes of the bodies, as they were transferred. Answers are
	// usually compressed.
	Sent     int64 `json:"sentBytes"`
	Received int64 `json:"receivedBytes"`
	// Waited is the time until the server began to answer, in nanoseconds, of all requests
	// together.
	Waited time.Duration `json:"waited"`
}

// plus returns the sum of two counts, the second of them times the factor.
func (c Count) plus(o Count, times int) Count {
	return Count{
		c.Requests + times*o.Requests, c.Failed + times*o.Failed,
		c.Sent + int64(times)*o.Sent, c.Received + int64(times)*o.Received, c.Waited + time.Duration(times)*o.Waited,
	}
}

// Counts has the counts of all kinds of requests.
type Counts map[Request]Count

// Since returns what was counted after earlier was.
func (c Counts) Since(earlier Counts) Counts {
	since := Counts{}
	for r, count := range c {
		if d := count.plus(earlier[r], -1); d != (Count{}) {
			since[r] = d
		}
	}
	return since
}

// Proxy forwards requests to an API server and counts them.
type Proxy struct {
	// Server is the path of a kubeconfig that leads to the API server.
	Server string
	// Kubeconfig is the path of the kubeconfig for the program. It exists while the proxy
	// runs. It has a token that only the proxy knows, because the proxy has the rights of
	// the other kubeconfig.
	Kubeconfig string

	mu     sync.Mutex
	counts Counts
}

// Start writes Kubeconfig and forwards requests until stop is called.
func (p *Proxy) Start(ctx context.Context) (stop func() error, err error) {
	config, err := clientcmd.BuildConfigFromFlags("", p.Server)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig %s: %w", p.Server, err)
	}
	token := rand.Text()
	handler, err := p.handler(config, token)
	if err != nil {
		return nil, fmt.Errorf("count requests to the API server of %s: %w", p.Server, err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("count requests to the API server: %w", err)
	}
	// Without TLS, client-go sends no token.
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the certificate of the proxy: %w", err), listener.Close())
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err == nil {
		err = writeKubeconfig(p.Kubeconfig, "https://"+listener.Addr().String(), token, certificate)
	}
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13},
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(listener, "", "") }()
	return func() error {
		err := server.Close()
		if serr := <-ended; !errors.Is(serr, http.ErrServerClosed) {
			err = errors.Join(err, serr)
		}
		return errors.Join(err, state.Remove(p.Kubeconfig))
	}, nil
}

func writeKubeconfig(path, server, token string, authority []byte) error {
	const name = "counted"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: authority}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("write the kubeconfig %s: %w", path, err)
	}
	return kube.WriteKubeconfig(path, data)
}

// handler returns the proxy, which answers requests that carry the token.
func (p *Proxy) handler(config *rest.Config, token string) (http.Handler, error) {
	address, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: address.Scheme, Host: address.Host})
			r.Out.Header.Del("Authorization") // the transport has the server's
		},
		Transport:     transport,
		FlushInterval: -1, // events of a watch must not wait
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	want := []byte("Bearer " + token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			http.Error(w, "the token is missing or wrong", http.StatusUnauthorized)
			return
		}
		kind := parse(r)
		answer := &counted{ResponseWriter: w, began: time.Now(), count: func(c Count) { p.add(kind, c) }}
		r.Body = &countedBody{ReadCloser: r.Body, count: answer.count}
		proxy.ServeHTTP(answer, r)
	}), nil
}

func (p *Proxy) add(r Request, c Count) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts == nil {
		p.counts = Counts{}
	}
	p.counts[r] = p.counts[r].plus(c, 1)
}

// Counts returns what was counted until now.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// counted counts an answer.
type counted struct {
	http.ResponseWriter
	began time.Time
	count func(Count)
}

// Unwrap lets http.ResponseController flush the answer.
func (w *counted) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *counted) WriteHeader(status int) {
	if status >= http.StatusOK { // before come those that only inform
		c := Count{Requests: 1, Waited: time.Since(w.began)}
		if status >= http.StatusBadRequest {
			c.Failed = 1
		}
		w.count(c)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *counted) Write(data []byte) (int, error) {
	n, err := w.ResponseWriter.Write(data)
	w.count(Count{Received: int64(n)})
	return n, err
}

// countedBody counts what a program sends.
type countedBody struct {
	io.ReadCloser
	count func(Count)
}

func (b *countedBody) Read(data []byte) (int, error) {
	n, err := b.ReadCloser.Read(data)
	if n > 0 {
		b.count(Count{Sent: int64(n)})
	}
	return n, err
}
