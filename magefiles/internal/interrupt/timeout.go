package interrupt

import (
	"context"
	"fmt"
	"time"
)

// WithTimeout returns a context that ends after d. The cause of that end names d.
func WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("not within %s", d))
}
