package vectors

import "testing"

func TestLoad(t *testing.T) {
	t.Parallel()
	all := Load(t)
	messages, states := 0, make(map[string]int)
	for _, s := range all {
		for _, m := range s.Messages {
			messages++
			states[m.State]++
			if (m.State == "opened") != (m.Plain != nil) {
				t.Errorf("%s/%s: %q, but the payload says otherwise", s.Name, m.File, m.State)
			}
			if len(m.Raw) == 0 || m.From == "" || m.To == "" {
				t.Errorf("%s/%s is not complete", s.Name, m.File)
			}
		}
	}
	if messages != 199 || states["opened"] != 177 || states["closed"] != 2 || states["plain"] != 20 {
		t.Errorf("%d messages, %v", messages, states)
	}
	if s := Get(t, "setup-message").Secrets; len(s) != 1 {
		t.Errorf("setup codes: %d", len(s))
	}
	if s := Get(t, "channel").Secrets; len(s) != 2 {
		t.Errorf("secrets of the channel: %d", len(s))
	}
	if u := Get(t, "classic-pgp").Users["dora"]; u.Addr == "" || u.Cert == nil || u.Key == nil {
		t.Error("a user without address or keys")
	}
}
