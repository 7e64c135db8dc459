package provider

// TB is what NewTest needs of *testing.T, so that the package does not drag the
// testing package into a binary.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Cleanup(func())
}

// NewTest starts a provider for a test and guards all users. It ends with the test, and
// fails it for every violation that was found.
func NewTest(t TB, opts Options) *Provider {
	t.Helper()
	p, err := New(opts)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if err := p.Start(); err != nil {
		t.Fatalf("%v", err)
	}
	if !opts.Unguarded {
		p.Guard()
	}
	t.Cleanup(func() {
		t.Helper()
		for _, v := range p.Violations() {
			t.Errorf("provider: %v", v)
		}
		if err := p.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return p
}
