package account

import (
	"testing"
	"time"
)

func TestTrialsAreBounded(t *testing.T) {
	t.Parallel()
	var tr trials
	now := time.Unix(1_800_000_000, 0)
	for _, step := range []struct {
		after time.Duration
		spend int
		want  time.Duration
	}{
		{0, trialsPerMinute - 1, 0},
		{10 * time.Second, 5000, 0},
		{20 * time.Second, 0, 40 * time.Second},
		{60 * time.Second, trialsPerMinute, 0},
		{61 * time.Second, 0, 59 * time.Second},
		{30 * time.Second, 0, 0}, // the clock was set back
	} {
		if got := tr.wait(now.Add(step.after)); got != step.want {
			t.Errorf("after %v: wait %v, want %v", step.after, got, step.want)
		}
		tr.spend(step.spend)
	}
}
