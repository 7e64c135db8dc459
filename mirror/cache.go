package mirror

import (
	"container/list"
	"sync"
)

// cache holds the provider's bytes of mail that was read lately, in memory, the least
// recently used leaving first.
type cache struct {
	mu    sync.Mutex
	limit int64
	size  int64
	order *list.List // of *cached, most recently used first
	byRow map[int64]*list.Element
}

type cached struct {
	row int64
	raw []byte
}

func newCache(limit int64) *cache {
	return &cache{limit: limit, order: list.New(), byRow: map[int64]*list.Element{}}
}

func (c *cache) get(row int64) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byRow[row]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).raw, true
}

// put keeps raw unless it alone would fill a quarter of the cache.
func (c *cache) put(row int64, raw []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(row)
	if raw == nil || int64(len(raw)) > c.limit/4 {
		return
	}
	c.byRow[row] = c.order.PushFront(&cached{row, raw})
	c.size += int64(len(raw))
	for c.size > c.limit {
		c.remove(c.order.Back().Value.(*cached).row)
	}
}

func (c *cache) drop(row int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(row)
}

func (c *cache) remove(row int64) {
	if e, ok := c.byRow[row]; ok {
		c.size -= int64(len(e.Value.(*cached).raw))
		c.order.Remove(e)
		delete(c.byRow, row)
	}
}
