package main

import (
	"context"
	"time"
)

// background bounds the set-up.
func background(o options) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), o.warmup+o.duration+time.Minute)
}
