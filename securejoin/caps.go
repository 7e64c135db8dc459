package securejoin

import (
	"slices"
	"time"
)

// Caps on answers: whoever holds a link can otherwise make us send without
// end. What is over them is sent later, what does not fit into the next hour
// is not answered; a joiner asks again.
const (
	AnswersPerAddress = 5  // an hour and address; a handshake takes two
	AnswersPerInvite  = 60 // an hour
	answerWindow      = time.Hour
)

// Answer is a message sent to a joiner, or to be sent at a later time.
type Answer struct {
	Step Step
	Addr string
	At   time.Time
}

// answer finds the earliest time at which an answer keeps to the caps and
// books it. It reports false if the same answer is waiting already, or if
// there is no room within the next hour. A zero time means now.
func (i Invite) answer(step Step, addr string, now time.Time) (Invite, time.Time, bool) {
	var answers []Answer
	for _, a := range i.Answers {
		if a.At.After(now) && a.Step == step && a.Addr == addr {
			return i, time.Time{}, false
		}
		if now.Sub(a.At) < answerWindow {
			answers = append(answers, a)
		}
	}
	at := later(slot(answers, AnswersPerInvite, now), slot(answersTo(answers, addr), AnswersPerAddress, now))
	if at.Sub(now) > answerWindow {
		return i, time.Time{}, false
	}
	i.Answers = append(answers, Answer{step, addr, at})
	if at.Equal(now) {
		at = time.Time{}
	}
	return i, at, true
}

func answersTo(answers []Answer, addr string) []Answer {
	var to []Answer
	for _, a := range answers {
		if a.Addr == addr {
			to = append(to, a)
		}
	}
	return to
}

// slot is the earliest time, not before now, by which fewer than limit of the
// last answers lie within an hour. Answers are booked in the order of their
// times, so it is the limit-th last that counts.
func slot(answers []Answer, limit int, now time.Time) time.Time {
	if len(answers) < limit {
		return now
	}
	times := make([]time.Time, len(answers))
	for n, a := range answers {
		times[n] = a.At
	}
	slices.SortFunc(times, time.Time.Compare)
	return later(now, times[len(times)-limit].Add(answerWindow))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
