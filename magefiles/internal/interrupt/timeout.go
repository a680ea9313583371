package interrupt

import (
	"context"
	"fmt"
	"time"
)

// WithTimeout bounds a wait. The cause for which the context ends names the bound.
func WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("not within %s", d))
}
