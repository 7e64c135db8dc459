package provider

// TB is what NewTest needs of *testing.T, so that the package does not drag the
// testing package into a binary.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Cleanup(func())
}

// NewTest starts a provider for a test. It ends with the test, and fails it for every
// violation that Watch and Guard found.
func NewTest(t TB, opts Options) *Provider {
	t.Helper()
	p, err := New(opts)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if err := p.Start(); err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		t.Helper()
		if err := p.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return p
}
