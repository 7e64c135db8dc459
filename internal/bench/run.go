//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
)

// run is one figure being measured. It stands in for a test, so that the beds of the tests serve
// here, too; what it lacks of one panics.
type run struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
	err      error
}

// measure gives the value of a figure.
func measure(f figure) (value float64, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{ctx: ctx}
	done := make(chan struct{})
	go func() { // of its own, because Fatal ends it
		defer close(done)
		defer r.end()
		value = f.value(r)
	}()
	<-done
	cancel()
	return value, r.err
}

// end runs the cleanups, the last one first. Each may fail.
func (r *run) end() {
	if len(r.cleanups) == 0 {
		return
	}
	last := r.cleanups[len(r.cleanups)-1]
	r.cleanups = r.cleanups[:len(r.cleanups)-1]
	defer r.end()
	last()
}

// scope runs fn, and then the cleanups that it has asked for.
func (r *run) scope(fn func() time.Duration) time.Duration {
	outer := r.cleanups
	r.cleanups = nil
	defer func() {
		r.end()
		r.cleanups = outer
	}()
	return fn()
}

func (r *run) Helper()                           {}
func (r *run) Name() string                      { return "bench" }
func (r *run) Context() context.Context          { return r.ctx }
func (r *run) Cleanup(fn func())                 { r.cleanups = append(r.cleanups, fn) }
func (r *run) Failed() bool                      { return r.err != nil }
func (r *run) Log(args ...any)                   { fmt.Fprintln(os.Stderr, args...) }
func (r *run) Logf(format string, args ...any)   { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (r *run) Error(args ...any)                 { r.fail(fmt.Sprint(args...)) }
func (r *run) Errorf(format string, args ...any) { r.fail(fmt.Sprintf(format, args...)) }
func (r *run) fail(text string)                  { r.err = errors.Join(r.err, errors.New(text)) }

func (r *run) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *run) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *run) must(err error) {
	if err != nil {
		r.Fatal(err)
	}
}

// TempDir makes a directory that goes with the run.
func (r *run) TempDir() string {
	dir, err := os.MkdirTemp("", "bench")
	r.must(err)
	r.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// patience bounds every wait for something that takes milliseconds, or with real peers seconds.
const patience = 60 * time.Second

// until waits for something and gives how long it took since began.
func (r *run) until(began time.Time, what string, done func() bool) time.Duration {
	for !done() {
		if time.Since(began) > patience {
			r.Fatalf("did not happen within %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

// pairs is how many pairs a ratio is the median of.
const pairs = 9

// ratio measures ours and the yardstick's in turns, and gives the median of the ratios.
func ratio(ours, yardstick func() time.Duration) float64 {
	return median(pairs, func() float64 { return float64(ours()) / float64(yardstick()) })
}

// median gives the median of n values, which is odd.
func median(n int, value func() float64) float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = value()
	}
	slices.Sort(values)
	return values[n/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
