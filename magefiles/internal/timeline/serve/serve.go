// Package serve shows a record that still grows to a browser on this machine: the page of
// package render, which asks for updates.
package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/render"
)

// Options of Handler.
type Options struct {
	// File is the path of the record, which need not exist yet.
	File string
	// Page returns the options of a page of the facts; Handler sets the Version.
	Page func(facts []timeline.Fact) render.ReportOptions
	// Trouble returns why the record may be incomplete, and an empty text if no reason
	// is known.
	Trouble func() string
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// State is what the page asks for again and again.
type State struct {
	// Version identifies what the record has; the page of another version is old.
	Version string `json:"version"`
	// QuietSeconds is how long the record has not grown.
	QuietSeconds float64 `json:"quietSeconds"`
	// Trouble is why the record may be incomplete.
	Trouble string `json:"trouble,omitempty"`
}

// Handler serves the page at / and its State at /state. It answers only requests that
// name a loopback host. Otherwise a page of another site, whose name leads to this
// machine, could read the record.
func Handler(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &handler{Options: o, started: o.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.page)
	mux.HandleFunc("GET /state", h.state)
	return guarded(mux)
}

// guarded refuses requests from elsewhere, and sets the headers of all answers.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy":      render.Policy(true) + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Cache-Control":                "no-store",
		} {
			w.Header().Set(name, value)
		}
		if !loopback(r.Host) {
			http.Error(w, fmt.Sprintf("host %q: want localhost, 127.0.0.1 or [::1]", r.Host), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// loopback reports whether the Host of a request is a name of this machine that no other
// machine can have. The port may be that of a tunnel.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || host == "127.0.0.1" || host == "::1" || host == "[::1]"
}

type handler struct {
	Options
	started time.Time

	// mu guards the page that was drawn last, and lets one request draw it for all.
	mu      sync.Mutex
	version string
	drawn   []byte
}

// look returns the version of the record, and when it grew last.
func (h *handler) look() (version string, grew time.Time, err error) {
	info, err := os.Stat(h.File)
	if errors.Is(err, fs.ErrNotExist) {
		return "0", h.started, nil
	}
	if err != nil {
		return "", time.Time{}, fmt.Errorf("look at the record: %w", err)
	}
	return strconv.FormatInt(info.Size(), 36) + "-" + strconv.FormatInt(info.ModTime().UnixNano(), 36), info.ModTime(), nil
}

func (h *handler) state(w http.ResponseWriter, _ *http.Request) {
	version, grew, err := h.look()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(State{Version: version, QuietSeconds: max(0, h.Now().Sub(grew).Seconds()), Trouble: h.Trouble()}) // the reader may be gone
}

func (h *handler) page(w http.ResponseWriter, _ *http.Request) {
	page, err := h.draw()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page) // the reader may be gone
}

// draw returns the page of the present record.
func (h *handler) draw() ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	// The version is read first: a fact that comes meanwhile makes the page old, and is
	// not missed.
	version, _, err := h.look()
	if err != nil || version == h.version {
		return h.drawn, err
	}
	facts, err := timeline.Read(h.File)
	if err != nil && !errors.Is(err, timeline.ErrNoRecord) && !errors.As(err, new(*timeline.TornError)) {
		return nil, err
	}
	o := h.Page(facts)
	o.Version = version
	var page bytes.Buffer
	if err := render.Report(&page, facts, o); err != nil {
		return nil, err
	}
	h.version, h.drawn = version, page.Bytes()
	return h.drawn, nil
}

// Listen listens at a port of 127.0.0.1, or at any free one if port is 0.
func Listen(ctx context.Context, port int) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listen at port %d of 127.0.0.1: %w; want a port from 1 to 65535 that is free, or 0 for any free one", port, err)
	}
	return l, nil
}

// Limits of a request. A page of a long record takes seconds to draw.
const (
	headerWithin = 5 * time.Second
	readWithin   = 10 * time.Second
	writeWithin  = time.Minute
	idleWithin   = 2 * time.Minute
	endWithin    = 3 * time.Second
	maxHeader    = 16 << 10
)

// Serve answers requests until ctx is done, and lets those that are under way end. It
// closes the listener.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, BaseContext: func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: headerWithin, ReadTimeout: readWithin, WriteTimeout: writeWithin, IdleTimeout: idleWithin, MaxHeaderBytes: maxHeader,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the page: %w", err)
	case <-ctx.Done():
	}
	end, cancel := interrupt.Cleanup(ctx, endWithin)
	defer cancel()
	if server.Shutdown(end) != nil {
		return server.Close() // a request takes too long
	}
	return nil
}
