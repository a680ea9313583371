package timelines

import (
	"context"
	"fmt"
	"sync"
	"time"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/render"
	"caslab/magefiles/internal/timeline/serve"
)

// ServePort is the port of timeline:serve, unless its user names another.
const ServePort = 8480

// ServeOptions of Serve.
type ServeOptions struct {
	// Port of 127.0.0.1, 0 for any free one.
	Port int
	// Since is how far back the page goes; to the record's beginning if zero.
	Since time.Duration
}

// Serve serves the page of Report on the loopback interface, prints its address, and
// records, until ctx is done. The page shows what is recorded meanwhile.
func (t *Timelines) Serve(ctx context.Context, o ServeOptions) error {
	if err := checkSince(o.Since); err != nil {
		return err
	}
	listener, err := serve.Listen(ctx, o.Port)
	if err != nil {
		return fmt.Errorf("-port=%d: %w", o.Port, err)
	}
	defer func() { _ = listener.Close() }() // Serve closes it too
	c, err := t.Open(ctx)
	if err != nil {
		return err
	}
	trouble := &trouble{now: t.Now}
	recording := t.lasting(c)
	recording.OnError = func(err error) {
		t.reportError(c, err)
		trouble.report(err)
	}
	defer record(ctx, recording, func(err error) {
		t.reportEnd(err)
		trouble.end(err)
	})()
	versions := &shownVersions{Timelines: t, cluster: c}
	handler := serve.Handler(serve.Options{
		File: t.File(c), Trouble: trouble.text, Now: t.Now,
		Page: func(facts []timeline.Fact) render.ReportOptions {
			return render.ReportOptions{Title: t.title(""), Subtitle: versions.text(ctx), Now: t.Now(), From: t.begin("", facts, o.Since), Hint: []render.HintStep{t.toWatch()}, Again: t.Config.Command("timeline:serve"), Verdict: t.verdicts(ctx, c, facts)}
		},
	})
	fmt.Fprintf(t.Out, "http://%s/\n", listener.Addr())
	t.Log.Printf("Ctrl-C ends it")
	return serve.Serve(ctx, listener, handler)
}

// Times of what a page shows.
const (
	// versionsFor is how long the versions that a cluster reported are shown, and
	// versionsWithin how long it may take to report them.
	versionsFor, versionsWithin = time.Minute, 5 * time.Second
	// troubleFor is longer than the time after which a recorder reports an error again.
	troubleFor = 90 * time.Second
)

// shownVersions are the versions of a cluster and its autoscaler, which may start later
// than the page.
type shownVersions struct {
	*Timelines
	cluster *target.Cluster
	asked   time.Time
	last    string
}

// text returns the versions, which are asked for once a minute at most. A cluster that
// does not answer keeps the last ones.
func (v *shownVersions) text(ctx context.Context) string {
	if now := v.Now(); now.Sub(v.asked) >= versionsFor {
		v.asked = now
		ctx, cancel := interrupt.WithTimeout(ctx, versionsWithin)
		defer cancel()
		if versions, err := v.versions(ctx, v.cluster); err == nil {
			v.last = versions
		}
	}
	return v.last
}

// trouble is why a record may be incomplete.
type trouble struct {
	now func() time.Time

	mu    sync.Mutex
	last  string
	at    time.Time
	ended bool
}

func (t *trouble) set(text string, err error, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last, t.at, t.ended = text+": "+redact.Text(timeline.Shorten(err.Error(), timeline.LongestHover)), t.now(), ended
}

// report is called with an error after which the recorder goes on.
func (t *trouble) report(err error) { t.set("The record may be incomplete", err, false) }

// end is called with the error that ends the recorder.
func (t *trouble) end(err error) { t.set("Nothing is recorded any more", err, true) }

// text returns the last error, for as long as a recorder would not repeat it.
func (t *trouble) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || t.now().Sub(t.at) < troubleFor {
		return t.last
	}
	return ""
}
