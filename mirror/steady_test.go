package mirror

import (
	"errors"
	"fmt"
	"testing"

	"mailbridge/db"
)

// TestSteady: a read that comes upon bytes which have just gone is made again, from the row on.
func TestSteady(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, test := range []struct {
		name  string
		fails int // so often the bytes are gone
		then  error
		want  error
		reads int
	}{
		{"at once", 0, nil, nil, 1},
		{"gone once", 1, nil, nil, 2},
		{"gone once, then another error", 1, broken, broken, 2},
		{"gone for good", 1 << 20, nil, errGone, maxFollow + 1},
	} {
		reads := 0
		err := steady(func() error {
			if reads++; reads <= test.fails {
				return fmt.Errorf("view: %w", db.ErrNotFound)
			}
			return test.then
		})
		if !errors.Is(err, test.want) || reads != test.reads {
			t.Errorf("%s: %v after %d reads", test.name, err, reads)
		}
	}
}
