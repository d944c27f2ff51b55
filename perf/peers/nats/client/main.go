// Drives NATS JetStream: publishers that wait for acknowledgements, one JSON line of figures at the end.
//
// Owns: connections, one stream with a subject per publisher, latency from the intended send time.
// Never: counts a publish that was not acknowledged.
// Invariants: at most `depth` publishes of a connection are unacknowledged.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

type options struct {
	url         string
	connections int
	depth       int
	bytes       int
	rate        float64
	warmup      time.Duration
	duration    time.Duration
}

// result is what one publisher measured.
type result struct {
	latencies []time.Duration
	answered  int
	failed    int
}

func main() {
	var o options
	flag.StringVar(&o.url, "url", "nats://127.0.0.1:4222", "server")
	flag.IntVar(&o.connections, "connections", 1, "publishers, one connection each")
	flag.IntVar(&o.depth, "depth", 1, "unacknowledged publishes per connection")
	flag.IntVar(&o.bytes, "bytes", 1024, "payload")
	flag.Float64Var(&o.rate, "rate", 0, "publishes per second of all together; 0 is a closed loop")
	flag.DurationVar(&o.warmup, "warmup", time.Second, "before the window")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "the window")
	flag.Parse()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	first, err := nats.Connect(o.url)
	if err != nil {
		return err
	}
	defer first.Close()
	setup, err := jetstream.New(first)
	if err != nil {
		return err
	}
	ctx, cancel := background(o)
	defer cancel()
	// A stream per publisher is what a partition per connection is elsewhere.
	for i := range o.connections {
		config := jetstream.StreamConfig{Name: fmt.Sprintf("bench-%d", i), Subjects: []string{subject(i)}}
		if _, err := setup.CreateOrUpdateStream(ctx, config); err != nil {
			return err
		}
	}
	start := time.Now().Add(50 * time.Millisecond)
	results := make([]result, o.connections)
	failures := make([]error, o.connections)
	var all sync.WaitGroup
	for i := range o.connections {
		all.Add(1)
		go func() {
			defer all.Done()
			results[i], failures[i] = publish(o, i, start)
		}()
	}
	all.Wait()
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return report(o, results)
}

// publish keeps up to depth publishes in flight and notes when each acknowledgement came.
func publish(o options, index int, start time.Time) (result, error) {
	var r result
	conn, err := nats.Connect(o.url)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(o.depth+1))
	if err != nil {
		return r, err
	}
	type pending struct {
		intended time.Time
		ack      jetstream.PubAckFuture
	}
	inFlight := make(chan pending, o.depth)
	free := make(chan struct{}, o.depth)
	done := make(chan struct{})
	from, to := start.Add(o.warmup), start.Add(o.warmup+o.duration)
	go func() {
		defer close(done)
		for p := range inFlight {
			select {
			case <-p.ack.Ok():
				now := time.Now()
				if !now.Before(from) && now.Before(to) {
					r.answered++
				}
				if !p.intended.Before(from) && p.intended.Before(to) {
					r.latencies = append(r.latencies, now.Sub(p.intended))
				}
			case <-p.ack.Err():
				r.failed++
			case <-time.After(30 * time.Second):
				r.failed++
			}
			<-free
		}
	}()
	payload := make([]byte, o.bytes)
	var gap time.Duration
	if o.rate > 0 {
		gap = time.Duration(float64(time.Second) * float64(o.connections) / o.rate)
	}
	intended := start.Add(gap * time.Duration(index) / time.Duration(o.connections))
	time.Sleep(time.Until(start))
	for {
		if gap > 0 {
			time.Sleep(time.Until(intended))
		}
		free <- struct{}{}
		if gap == 0 {
			intended = time.Now()
		}
		if !intended.Before(to) {
			break
		}
		ack, err := js.PublishAsync(subject(index), payload)
		if err != nil {
			return r, err
		}
		inFlight <- pending{intended, ack}
		if gap > 0 {
			intended = intended.Add(gap)
		}
	}
	close(inFlight)
	<-done
	return r, nil
}

func subject(index int) string { return fmt.Sprintf("bench.%d", index) }

func report(o options, results []result) error {
	var latencies []time.Duration
	answered, failed := 0, 0
	for _, r := range results {
		latencies = append(latencies, r.latencies...)
		answered += r.answered
		failed += r.failed
	}
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	per := float64(answered) / o.duration.Seconds()
	figures := map[string]float64{
		"requests-per-s": per,
		"records-per-s":  per,
		"mb-per-s":       per * float64(o.bytes) / 1e6,
		"failed":         float64(failed),
	}
	for name, quantile := range map[string]float64{"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999} {
		if len(latencies) > 0 {
			at := latencies[min(len(latencies)-1, int(quantile*float64(len(latencies))))]
			figures["response."+name+"-us"] = float64(at.Nanoseconds()) / 1e3
		}
	}
	return json.NewEncoder(os.Stdout).Encode(figures)
}
