package securejoin_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"mailbridge/securejoin"
)

// expect checks an outcome: verdict, refusal and the kinds of its effects in order.
func expect(t testing.TB, out securejoin.Outcome, verdict securejoin.Verdict, refused error, effects ...string) {
	t.Helper()
	if out.Verdict != verdict || !errors.Is(out.Refused, refused) {
		t.Errorf("verdict %v, refused %v; want %v, %v", out.Verdict, out.Refused, verdict, refused)
	}
	if got := kinds(out.Effects); !slices.Equal(got, effects) {
		t.Errorf("effects %v, want %v", got, effects)
	}
}

func kinds(effects []securejoin.Effect) []string {
	var names []string
	for _, e := range effects {
		names = append(names, reflect.TypeOf(e).Name())
	}
	return names
}

// effect gives the one effect of a kind.
func effect[E securejoin.Effect](t testing.TB, out securejoin.Outcome) E {
	t.Helper()
	var found []E
	for _, e := range out.Effects {
		if e, ok := e.(E); ok {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d effects of the kind wanted in %+v", len(found), out.Effects)
	}
	return found[0]
}
