package mirror

import (
	"sync"

	"mailbridge/mailbox"
)

// watchers tells the sessions of mail clients that a mailbox has changed. It holds tokens,
// not changes: what happened is asked for by Changes.
type watchers struct {
	mu   sync.Mutex
	byID map[mailbox.ID]map[chan struct{}]struct{}
}

// Watch gives a channel that holds a token after each change of the mailbox.
func (m *Mirror) Watch(id mailbox.ID) (changed <-chan struct{}, stop func()) {
	return m.watchers.add(id)
}

func (w *watchers) add(id mailbox.ID) (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byID == nil {
		w.byID = map[mailbox.ID]map[chan struct{}]struct{}{}
	}
	if w.byID[id] == nil {
		w.byID[id] = map[chan struct{}]struct{}{}
	}
	w.byID[id][c] = struct{}{}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.byID[id], c)
		if len(w.byID[id]) == 0 {
			delete(w.byID, id)
		}
	}
}

func (w *watchers) notify(id mailbox.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.byID[id] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (w *watchers) watched(id mailbox.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.byID[id]) > 0
}
