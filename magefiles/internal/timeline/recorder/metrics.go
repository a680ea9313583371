package recorder

import (
	"context"
	"time"

	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// metricsEvery is the time between two looks at the autoscaler's metrics.
const metricsEvery = time.Minute

// followMetrics records once a minute how many requests the autoscaler has sent, until ctx is done.
// Often there are no metrics, because no autoscaler runs or somebody else's cannot be reached.
func (r *recorder) followMetrics(ctx context.Context) {
	var sent requests
	for {
		if sample, err := r.Metrics(ctx); err == nil {
			if s := sent.since(sample, r.now()); s != nil {
				r.recordOnce(timeline.Fact{Time: s.To, Kind: timeline.Autoscaler, What: timeline.Shaped, Shape: shape.Encode(shape.Autoscaler{Requests: s}), Source: timeline.Metrics})
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(metricsEvery):
		}
	}
}

// requests counts the requests of one process of the autoscaler.
type requests struct {
	at time.Time
	// process is when the process started, sent the number of its requests at the time at.
	process float64
	sent    int64
}

// since returns the requests since the last sample. It is nil for the first sample of a process,
// and for one without such a metric.
func (r *requests) since(sample metrics.Sample, at time.Time) *shape.Requests {
	sent, counted := sample.Requests()
	if !counted {
		return nil
	}
	before := *r
	*r = requests{at, sample.Started(), sent}
	if before.at.IsZero() || before.process != r.process || sent < before.sent {
		return nil
	}
	return &shape.Requests{N: sent - before.sent, From: before.at.UTC(), To: at.UTC()}
}
