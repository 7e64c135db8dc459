package account

import "sync"

// watchers wake those who wait for something with a number: an outbox row, a join. They
// carry no data: who is woken looks at the index.
type watchers struct {
	mu      sync.Mutex
	waiting map[int64][]chan struct{}
}

func newWatchers() *watchers { return &watchers{waiting: map[int64][]chan struct{}{}} }

// watch gives a channel that is closed at the next wake of id.
func (w *watchers) watch(id int64) <-chan struct{} {
	c := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting[id] = append(w.waiting[id], c)
	return c
}

// forget ends a watch that nobody waits for any more.
func (w *watchers) forget(id int64, c <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.waiting[id]
	for i, other := range list {
		if other == c {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if w.waiting[id] = list; len(list) == 0 {
		delete(w.waiting, id)
	}
}

func (w *watchers) wake(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.waiting[id] {
		close(c)
	}
	delete(w.waiting, id)
}
