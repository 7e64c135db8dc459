package upstream_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"mailbridge/internal/provider"
	"mailbridge/upstream"
)

const bob = "bob@example.org"

var letter = []byte("From: alice@example.org\r\nSubject: x\r\n\r\n.\r\n..dots\r\nGrüße\r\n")

func TestSubmit(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	for _, mode := range []upstream.TLSMode{upstream.ImplicitTLS, upstream.StartTLS} {
		cfg := configOf(p)
		if mode == upstream.StartTLS {
			cfg.SMTP = endpoint(p.SMTPAddr(), mode)
		}
		result, err := upstream.Submit(t.Context(), cfg, upstream.Envelope{From: alice, To: []string{bob, "nobody@example.org"}}, letter)
		if err != nil || len(result.Recipients) != 2 {
			t.Fatal(result, err)
		}
		if r := result.Recipients[0]; r.Addr != bob || r.Outcome != upstream.Accepted || r.Code != 250 {
			t.Errorf("bob: %+v", r)
		}
		if r := result.Recipients[1]; r.Outcome != upstream.Refused || r.Code < 500 || r.Text == "" {
			t.Errorf("nobody: %+v", r)
		}
	}
	got := p.Messages(bob, "INBOX")
	if len(got) != 2 || !bytes.HasSuffix(got[0].Data, letter) {
		t.Errorf("bob has %d messages", len(got))
	}
}

func TestSubmitOutcomes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		fault   provider.Fault
		want    []upstream.Outcome
		class   upstream.Class // of the error; 0: none
		arrived bool
	}{
		{"login refused", provider.Fault{Command: "AUTH", Effect: provider.Refuse, Code: 535}, []upstream.Outcome{upstream.Deferred, upstream.Deferred}, upstream.Permanent, false},
		{"login not now", provider.Fault{Command: "AUTH", Effect: provider.Refuse, Code: 454}, []upstream.Outcome{upstream.Deferred, upstream.Deferred}, upstream.Temporary, false},
		{"sender refused", provider.Fault{Command: "MAIL", Effect: provider.Refuse, Code: 550}, []upstream.Outcome{upstream.Refused, upstream.Refused}, 0, false},
		{"sender not now", provider.Fault{Command: "MAIL", Effect: provider.Refuse, Code: 450}, []upstream.Outcome{upstream.Deferred, upstream.Deferred}, 0, false},
		{"one recipient not now", provider.Fault{Command: "RCPT", Arg: alice, Effect: provider.Refuse, Code: 450}, []upstream.Outcome{upstream.Accepted, upstream.Deferred}, 0, true},
		{"one recipient refused", provider.Fault{Command: "RCPT", Arg: alice, Effect: provider.Refuse, Code: 550}, []upstream.Outcome{upstream.Accepted, upstream.Refused}, 0, true},
		{"lost at RCPT", provider.Fault{Command: "RCPT", Effect: provider.CutBefore}, []upstream.Outcome{upstream.Deferred, upstream.Deferred}, upstream.Temporary, false},
		{"content refused", provider.Fault{Command: "DATA", Effect: provider.Refuse, Code: 554}, []upstream.Outcome{upstream.Refused, upstream.Refused}, 0, false},
		{"content not now", provider.Fault{Command: "DATA", Effect: provider.Refuse, Code: 451}, []upstream.Outcome{upstream.Deferred, upstream.Deferred}, 0, false},
		{"lost behind the dot, nothing happened", provider.Fault{Command: "DATA", Effect: provider.CutBefore}, []upstream.Outcome{upstream.Uncertain, upstream.Uncertain}, upstream.Unknown, false},
		{"lost behind the dot, it happened", provider.Fault{Command: "DATA", Effect: provider.CutAfter}, []upstream.Outcome{upstream.Uncertain, upstream.Uncertain}, upstream.Unknown, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			p.Inject(test.fault)
			result, err := upstream.Submit(t.Context(), configOf(p), upstream.Envelope{From: alice, To: []string{bob, alice}}, letter)
			var got []upstream.Outcome
			for _, r := range result.Recipients {
				got = append(got, r.Outcome)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("outcomes %v, want %v", got, test.want)
			}
			if (err == nil) != (test.class == 0) || err != nil && upstream.ClassOf(err) != test.class {
				t.Errorf("error %v", err)
			}
			if arrived := len(p.Messages(bob, "INBOX")) > 0; arrived != test.arrived {
				t.Errorf("arrived: %v", arrived)
			}
		})
	}
}

func TestSubmitUnreachable(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	cfg := configOf(p)
	p.Down()
	result, err := upstream.Submit(t.Context(), cfg, upstream.Envelope{From: alice, To: []string{bob}}, letter)
	if !upstream.IsUnreachable(err) || result.Recipients[0].Outcome != upstream.Deferred {
		t.Errorf("got %v, %v", result, err)
	}
}

// TestSubmitCancel ends the context while the provider thinks about the message.
func TestSubmitCancel(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	held := p.Inject(provider.Fault{Command: "DATA", Effect: provider.Hold})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-held.Reached()
		cancel()
	}()
	result, err := upstream.Submit(ctx, configOf(p), upstream.Envelope{From: alice, To: []string{bob}}, letter)
	if upstream.ClassOf(err) != upstream.Unknown || result.Recipients[0].Outcome != upstream.Uncertain {
		t.Errorf("got %v, %v", result, err)
	}
	held.Release()
}
